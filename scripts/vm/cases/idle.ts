/** What does an agent cost that nobody asks anything? CPU-seconds, memory and wake-ups of each process, in the machine and of it. */
import { setTimeout as delay } from "node:timers/promises"
import { type Case, must } from "../case.ts"
import type { Site } from "../site.ts"

const units = ["assay-agent", "assay-broker", "assay-reader"] as const

/** Of one process: CPU-seconds, MiB of memory, voluntary context switches of all threads. */
type Cost = { readonly unit: string; readonly cpu: number; readonly mebibytes: number; readonly switches: number }

const idle: Case = {
  name: "idle",
  says: "what agent and broker cost while nobody asks",
  leaves: "as it was",
  run: async site => {
    const seconds = site.soak ? 3600 : 60
    await site.answer()
    await delay(10_000)
    const [before, hostBefore] = [await costs(site), site.machine.cpuSeconds]
    await delay(seconds * 1000)
    const [after, hostAfter] = [await costs(site), site.machine.cpuSeconds]
    const rows = after.map(row =>
      line(
        row,
        before.find(({ unit }) => unit === row.unit),
        seconds,
      ),
    )
    must(rows.length >= 2, "not every process runs")
    return `${rows.join("; ")}; the emulator ${(hostAfter - hostBefore).toFixed(1)} CPU-s in ${seconds} s`
  },
}

function line(now: Cost, before: Cost | undefined, seconds: number): string {
  const cpu = (now.cpu - (before?.cpu ?? 0)).toFixed(2)
  const wakes = ((now.switches - (before?.switches ?? 0)) / seconds).toFixed(1)
  return `${now.unit.replace("assay-", "")} ${cpu} CPU-s, ${now.mebibytes} MiB, ${wakes} wake-ups/s`
}

async function costs({ machine }: Site): Promise<Cost[]> {
  const said = await machine.says(`for unit in ${units.join(" ")}; do
  pid=$(systemctl show --value -p MainPID $unit 2> /dev/null)
  [ "\${pid:-0}" != 0 ] || continue
  cpu=$(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f12,13)
  memory=$(awk '/^VmRSS/ { print $2 }' /proc/$pid/status)
  switches=$(cat /proc/$pid/task/*/status | awk '/^voluntary/ { n += $2 } END { print n }')
  echo $unit $cpu $memory $switches
done`)
  return said.split("\n").map(text => {
    const [unit = "", user, system, memory, switches] = text.split(" ")
    const cpu = (Number(user) + Number(system)) / 100
    return { unit, cpu, mebibytes: Math.round(Number(memory) / 1024), switches: Number(switches) }
  })
}

export const idleCases: readonly Case[] = [idle]
