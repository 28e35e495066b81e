/**
 * What runs on this machine now? proc is read once for a measurement, however many sources ask: a process that comes or goes
 * meanwhile looks the same to all of them. Which of the processes serve models: server.ts; where Python keeps packages: places.ts.
 */
import type { Found } from "../../found.ts"
import { type Sites, sitePackages } from "../cuda/places.ts"
import type { Host } from "../../host.ts"
import { type Servers, serversAmong } from "./server.ts"

/** A process that is no thread of the kernel's: its folder in proc, and where its executable is. */
export type Process = { readonly folder: string; readonly exe: Found<string> }

/** What one look at the machine finds; nothing is read before somebody asks. */
export type Scan = {
  readonly processes: () => Promise<readonly Process[]>
  readonly servers: () => Promise<Servers>
  readonly sites: () => Promise<Sites>
}

const processLimit = 65_536

/** One look at this host. */
export function scanOf(host: Host): Scan {
  const processes = once(() => processesOn(host))
  const servers = once(async () => serversAmong(host, await processes()))
  const sites = once(async () => sitePackages(host, (await servers()).servers))
  return { processes, servers, sites }
}

function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined
  return () => (asked ??= ask())
}

async function processesOn(host: Host): Promise<readonly Process[]> {
  const listed = await host.list("/proc")
  if (listed.state === "unreadable") return [{ folder: "/proc", exe: listed }]
  const numbers = listed.state === "present" ? listed.value.filter(name => /^\d{1,10}$/.test(name)) : []
  const found: Process[] = []
  for (const number of numbers.slice(0, processLimit)) {
    const folder = `/proc/${number}`
    if (!(await isKernelThread(host, folder))) found.push({ folder, exe: await host.link(`${folder}/exe`) })
  }
  return found
}

/**
 * PF_KTHREAD in the flags of proc(5)'s stat: on an idle machine most of what is in proc, with no executable, and nothing to ask
 * the reader about. The name before them may hold anything, and the kernel alone sets them.
 */
async function isKernelThread(host: Host, folder: string): Promise<boolean> {
  const stat = await host.readBytes(`${folder}/stat`, 4096)
  if (stat.state !== "present") return false
  const fields = Buffer.from(stat.value)
    .toString("latin1")
    .replace(/^.*\) /s, "")
    .split(" ")
  return (Number(fields[6]) & 0x0020_0000) !== 0
}
