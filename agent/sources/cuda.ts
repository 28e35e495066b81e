/**
 * Which CUDA and ROCm lie on this machine? Toolkits by their own version files, libraries by digest, in the folders where
 * packages put them. Which of them a running server mapped is another source's business.
 */
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import { z } from "zod"
import type { Host } from "../host.ts"
import { besideDigest, type Context, digestFacts, fact, known, lookedAt, measurements, type Source } from "./source.ts"

/** Where packages of distributions and of the makers put libraries. */
const libraryFolders = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/local/lib",
  "/opt/cuda/lib64",
  "/usr/local/lib/ollama",
  "/usr/lib/ollama",
]
const library =
  /^lib(cuda|cudart|cublas|cublasLt|cudnn[a-z_]*|nccl|nvidia-ml|nvidia-ptxjitcompiler|amdhip64|hsa-runtime64|rccl|rocblas)\.so(\.[0-9.]+)?$/
/** The most libraries that are told. */
const libraryLimit = 256

export const cuda: Source = {
  name: "cuda",
  measure: async context => {
    const homes = await toolkitFolders(context.host)
    const found = [
      ...(await toolkits(context.host, homes)),
      ...(await rocm(context.host)),
      ...(await libraries(context, homes)),
    ]
    const looked = ["/usr/local/cuda*", "/opt/rocm*", ...libraryFolders]
    return found.length > 0 ? found : measurements("cuda", "", lookedAt(looked))
  },
}

/** The toolkits' real folders, each once: `/usr/local/cuda` is a link as a rule. */
async function toolkitFolders(host: Host): Promise<string[]> {
  const listed = await host.list("/usr/local")
  const names = listed.state === "present" ? listed.value.filter(name => /^cuda(-[0-9.]+)?$/.test(name)) : []
  const real = new Set<string>()
  for (const name of names) {
    const path = await host.realpath(`/usr/local/${name}`)
    if (path.state === "present") real.add(path.value)
  }
  return [...real].toSorted()
}

async function toolkits(host: Host, homes: readonly string[]): Promise<Measurement[]> {
  const current = await host.realpath("/usr/local/cuda")
  const found: Measurement[] = []
  for (const home of homes) {
    const role = current.state === "present" && current.value === home ? [known("role", "/usr/local/cuda")] : []
    found.push(...measurements("cuda", home, [...role, ...(await versionFacts(host, `${home}/version.json`))]))
  }
  return found
}

const versions = z.record(z.string(), z.object({ name: z.string(), version: z.string() }))

/** Each component and its version, or the digest of a file that says it in another form. */
async function versionFacts(host: Host, path: string): Promise<Fact[]> {
  const read = await host.readBytes(path)
  if (read.state !== "present") return [fact("version.json", read)]
  const parsed = versions.safeParse(parsedJson(read.value))
  if (!parsed.success) return [["unreadable", "version.json: not in the known form"], known("content", read.value)]
  const entries = Object.entries(parsed.data).slice(0, 256)
  return entries.map(([key, { name, version }]) => known(key, `${name} ${version}`))
}

function parsedJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"))
  } catch {
    return undefined
  }
}

async function rocm(host: Host): Promise<Measurement[]> {
  const listed = await host.list("/opt")
  const names = listed.state === "present" ? listed.value.filter(name => /^rocm(-[0-9.]+)?$/.test(name)) : []
  const found = new Map<string, Fact>()
  for (const name of names) {
    const home = await host.realpath(`/opt/${name}`)
    if (home.state === "present")
      found.set(home.value, fact("version", await host.readLine(`${home.value}/.info/version`)))
  }
  return [...found].flatMap(([home, version]) => measurements("cuda", home, [version]))
}

/** Each library once by its real path, with the names that lead to it. */
async function libraries(context: Context, homes: readonly string[]): Promise<Measurement[]> {
  const folders = [...libraryFolders, ...homes.flatMap(home => [`${home}/lib64`, `${home}/targets/x86_64-linux/lib`])]
  const named = new Map<string, string[]>()
  for (const folder of folders) {
    const listed = await context.host.list(folder)
    const names = listed.state === "present" ? listed.value.filter(name => library.test(name)) : []
    for (const name of names) {
      const real = await context.host.realpath(`${folder}/${name}`)
      const path = real.state === "present" ? real.value : `${folder}/${name}`
      named.set(path, [...(named.get(path) ?? []), name])
    }
  }
  return libraryMeasurements(context, named)
}

async function libraryMeasurements(
  context: Context,
  named: ReadonlyMap<string, readonly string[]>,
): Promise<Measurement[]> {
  const found: Measurement[] = []
  const sorted = [...named].toSorted(([a], [b]) => (a < b ? -1 : 1))
  for (const [path, names] of sorted.slice(0, libraryLimit)) {
    const aliases = [...new Set(names)].toSorted().map(name => known("name", name))
    found.push(...measurements("cuda", path, besideDigest(await digestFacts(context, path), aliases)))
  }
  if (sorted.length > libraryLimit)
    found.push(
      ...measurements("cuda", "further libraries", [
        ["unreadable", `${sorted.length - libraryLimit} more than the ${libraryLimit} that are told`],
      ]),
    )
  return found
}
