/**
 * What do the processes cost while nobody asks them anything? CPU-seconds, memory and wake-ups of each, over a while: of a site of
 * our own that is started for it (a software TPM, a collector and an agent that has joined it), or of any processes by their number.
 *
 *   node scripts/idle.ts                          a site of our own, for two minutes after a minute's rest
 *   node scripts/idle.ts --seconds 600 1234 1240  processes that run already, such as those of the installed units
 */
import { readdirSync, readFileSync } from "node:fs"
import { basename } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { parseArgs } from "node:util"
import { Site } from "./soak/site.ts"

/** Of one process: CPU-seconds of all its threads so far, MiB of memory, times that one of its threads went to sleep. */
type Cost = { readonly cpu: number; readonly mebibytes: number; readonly sleeps: number }

/** Clock ticks of proc_pid_stat(5) in a second: USER_HZ is 100 on every Linux that Node runs on. */
const ticks = 100
/** Seconds that a site of our own rests before it is looked at: what is measured at the start, and V8's first collections. */
const rest = 60

const text = (path: string): string => readFileSync(`/proc/${path}`, "utf8")

function costOf(pid: string): Cost {
  const fields = text(`${pid}/stat`)
    .replace(/^.*\) /s, "")
    .split(" ")
  const field = (status: string, name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(status)?.[1] ?? 0)
  const threads = readdirSync(`/proc/${pid}/task`).map(task => text(`${pid}/task/${task}/status`))
  return {
    cpu: (Number(fields[11]) + Number(fields[12])) / ticks,
    mebibytes: field(text(`${pid}/status`), "VmRSS") / 1024,
    sleeps: threads.reduce((sum, each) => sum + field(each, "voluntary_ctxt_switches"), 0),
  }
}

/** What a process is called in the table: by the program or the script that it runs. */
function nameOf(pid: string): string {
  const given = text(`${pid}/cmdline`).split("\0")
  const script = given
    .find(each => /\/main\.[tj]s$/.test(each))
    ?.split("/")
    .at(-2)
  const verb = given[given.findIndex(each => /\/assay\.(?:js|mjs|ts)$|\/cli\/main\.ts$/.test(each)) + 1]
  return script && script !== "cli" ? script : (verb ?? basename(given[0] ?? pid))
}

/** Processes that name this folder in their arguments. */
function processesIn(folder: string): string[] {
  const numbers = readdirSync("/proc").filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
  return numbers.filter(pid => {
    try {
      return text(`${pid}/cmdline`).includes(folder)
    } catch {
      return false // it has ended meanwhile
    }
  })
}

async function watch(pids: readonly string[], seconds: number): Promise<string[]> {
  const before = pids.map(costOf)
  const begun = performance.now()
  await delay(seconds * 1000)
  const took = (performance.now() - begun) / 1000
  return pids.map((pid, i) => {
    const [now, then] = [costOf(pid), before[i] ?? costOf(pid)]
    const cpu = ((now.cpu - then.cpu) * 3600) / took
    const wakes = (now.sleeps - then.sleeps) / took
    const columns = [cpu.toFixed(1).padStart(18), now.mebibytes.toFixed(0).padStart(8), wakes.toFixed(2).padStart(12)]
    return `${nameOf(pid).padEnd(14)}${columns.join("")}`
  })
}

const { values, positionals } = parseArgs({
  options: { seconds: { type: "string", default: "120" } },
  allowPositionals: true,
})

async function measure(pids: readonly string[]): Promise<void> {
  const seconds = Number(values.seconds)
  const rows = await watch(pids, seconds)
  console.log(
    `${"process".padEnd(14)}${"CPU-s in an hour".padStart(18)}${"MiB".padStart(8)}${"wake-ups/s".padStart(12)}`,
  )
  for (const row of rows) console.log(row)
  const load = text("loadavg").split(" ").slice(0, 3).join(" ")
  console.log(`over ${seconds} s; Node.js ${process.versions.node}; load ${load}`)
}

if (positionals.length > 0) await measure(positionals)
else {
  const site = await Site.open({ challenges: 3600, reports: 3600 })
  try {
    await delay(rest * 1000)
    await measure(processesIn(site.folder))
  } finally {
    await site.close()
  }
}
