/** Which files does NVIDIA's driver bring: the firmware that it puts onto cards, and the libraries that speak to it? */
import type { Fact } from "../../../attestation/protocol/event.ts"
import { posix } from "node:path"
import type { Host } from "../../host.ts"
import { type Context, digestFacts, fact, prefixed } from "../source.ts"

/** Digest of each firmware file of this driver's version. Where cards run without such firmware there may be none. */
export async function firmwareFacts(context: Context, version: string): Promise<Fact[]> {
  if (!/^\d+(?:\.\d+)+$/.test(version)) return [["unreadable", "firmware: the driver's version is not known"]]
  const folder = `/lib/firmware/nvidia/${version}`
  const listed = await context.host.list(folder)
  if (listed.state !== "present") return [fact(folder, listed)]
  const facts: Fact[] = []
  for (const name of listed.value.filter(each => /\.bin(?:\.zst|\.xz)?$/.test(each)).slice(0, 32))
    facts.push(...(await digestFacts(context, `${folder}/${name}`)).map(prefixed(name)))
  return facts.length > 0 ? facts : [["absent", `${folder}/*.bin`]]
}

const folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]

/** The version in the real name of each installed library that talks to the kernel module. */
export async function libraryVersions(host: Host): Promise<{ readonly name: string; readonly version: string }[]> {
  const found = new Map<string, string>()
  for (const folder of folders)
    for (const name of ["libnvidia-ml.so.1", "libcuda.so.1"]) {
      const real = await host.realpath(`${folder}/${name}`)
      const version =
        real.state === "present" ? /\.so\.(\d+(?:\.\d+)+)$/.exec(posix.basename(real.value))?.[1] : undefined
      if (real.state === "present" && version !== undefined) found.set(real.value, version)
    }
  return [...found].map(([name, version]) => ({ name, version }))
}
