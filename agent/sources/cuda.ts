/**
 * Which CUDA and ROCm lie on this machine? Toolkits by their own version files, libraries by digest, in the folders where
 * packages put them, Python's among them. Which of them a running server mapped: loaded.ts.
 */
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import { z } from "zod"
import type { Found } from "../found.ts"
import type { Host } from "../host.ts"
import { sonameOf } from "./cuda/elf.ts"
import { libraryFolders, pythonLibraryFolders } from "./cuda/places.ts"
import { closedFacts, type Folders, foldersOn } from "./cuda/folders.ts"
import { type Context, digestsOf, fact, known, lookedAt, measurements, type Source } from "./source.ts"

const library =
  /^lib(?:cuda|cudart|cublas|cublasLt|cufft|curand|cusolver|cusparse|cudnn[a-z_]*|nccl|nvrtc|nvJitLink|nvidia-ml|nvidia-ptxjitcompiler|nvinfer[a-z_]*|nvonnxparser|torch|torch_cuda|torch_cpu|torch_hip|c10|c10_cuda|ssl|crypto|amdhip64|hsa-runtime64|rccl|rocblas|MIOpen)(?:-[0-9a-f]{8})?\.so(?:\.[0-9.]+)?$/
/** The most libraries that are told. */
const libraryLimit = 256

export const cuda: Source = {
  name: "cuda",
  measure: async context => {
    const looked = foldersOn(context.host)
    const homes = await toolkitFolders(looked)
    const rocmHomes = await rocmFolders(looked)
    const found = [
      ...(await toolkits(context.host, homes)),
      ...(await rocm(context.host, rocmHomes)),
      ...(await libraries(context, looked, [...homes, ...rocmHomes])),
    ]
    const closed = closedFacts([...looked.closed(), ...(await context.scan.sites()).closed])
    if (closed.length > 0) found.push(...measurements("cuda", "closed folders", closed))
    const places = ["/usr/local/cuda*", "/opt/rocm*", ...libraryFolders]
    return found.length > 0 ? found : measurements("cuda", "", lookedAt(places))
  },
}

/** The toolkits' real folders, each once: `/usr/local/cuda` is a link as a rule. */
async function toolkitFolders({ names, real }: Folders): Promise<string[]> {
  const called = (await names("/usr/local")).filter(name => /^cuda(-[0-9.]+)?$/.test(name))
  const homes = new Set<string>()
  for (const name of called) for (const path of await real(`/usr/local/${name}`)) homes.add(path)
  return [...homes].toSorted()
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

async function rocm(host: Host, homes: readonly string[]): Promise<Measurement[]> {
  const found: Measurement[] = []
  for (const home of homes)
    found.push(...measurements("cuda", home, [fact("version", await host.readLine(`${home}/.info/version`))]))
  return found
}

async function rocmFolders({ names, real }: Folders): Promise<string[]> {
  const called = (await names("/opt")).filter(name => /^rocm(-[0-9.]+)?$/.test(name))
  const homes = new Set<string>()
  for (const name of called) for (const path of await real(`/opt/${name}`)) homes.add(path)
  return [...homes]
}

/** Each library once by its real path, with the names that lead to it. */
async function libraries(context: Context, looked: Folders, homes: readonly string[]): Promise<Measurement[]> {
  const named = new Map<string, string[]>()
  for (const folder of await foldersOf(context, looked, homes)) {
    const names = (await looked.names(folder)).filter(name => library.test(name))
    for (const name of names) {
      const real = await context.host.realpath(`${folder}/${name}`)
      const path = real.state === "present" ? real.value : `${folder}/${name}`
      named.set(path, [...(named.get(path) ?? []), name])
    }
  }
  return libraryMeasurements(context, named)
}

async function foldersOf({ scan }: Context, looked: Folders, homes: readonly string[]): Promise<readonly string[]> {
  const makers = homes.flatMap(home => [`${home}/lib64`, `${home}/lib`, `${home}/targets/x86_64-linux/lib`])
  const python: string[] = []
  for (const site of (await scan.sites()).folders) python.push(...(await pythonLibraryFolders(looked, site)))
  return [...new Set([...libraryFolders, ...makers, ...python])]
}

async function libraryMeasurements(
  context: Context,
  named: ReadonlyMap<string, readonly string[]>,
): Promise<Measurement[]> {
  const sorted = [...named].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const told = sorted.slice(0, libraryLimit)
  const digests = await digestsOf(
    context,
    told.map(([path]) => path),
  )
  const found: Measurement[] = []
  for (const [path, names] of told)
    found.push(...measurements("cuda", path, await libraryFacts(context.host, path, names, digests.get(path))))
  if (sorted.length > libraryLimit)
    found.push(
      ...measurements("cuda", "further libraries", [
        ["unreadable", `${sorted.length - libraryLimit} more than the ${libraryLimit} that are told`],
      ]),
    )
  return found
}

/** Digest, the version in its real name, what it calls itself, and the names under which it is found. */
async function libraryFacts(
  host: Host,
  path: string,
  names: readonly string[],
  digest: Found<string> | undefined,
): Promise<Fact[]> {
  if (digest?.state !== "present") return [fact("digest", digest ?? { state: "absent" })]
  const told = [fact("digest", digest)]
  const size = await host.stat(path)
  if (size.state === "present") told.push(known("size", size.value.size))
  const version = /\.so\.(\d+(?:\.\d+)*)$/.exec(path)?.[1]
  if (version !== undefined) told.push(known("version", version))
  const soname = await sonameOf(host, path)
  if (soname.state !== "absent") told.push(fact("soname", soname))
  return [...told, ...[...new Set(names)].toSorted().map(name => known("name", name))]
}
