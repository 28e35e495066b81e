/** Does the attester come back by itself, whoever ends it? Each part by its own death; no verdict turns because of it. */
import { type Case, good, must } from "../case.ts"
import { until } from "../patience.ts"
import type { Site } from "../site.ts"

type Unit = "assay-agent" | "assay-broker"

const show = ({ machine }: Site, unit: Unit, what: string): Promise<string> =>
  machine.says(`systemctl show --value -p ${what} ${unit}`)

/** Ends a unit's process, waits until systemd has started another one, and gives what systemd said of the end. */
async function dies(site: Site, unit: Unit, how: string, seconds: number): Promise<string> {
  const { machine } = site
  const pid = await show(site, unit, "MainPID")
  must(pid !== "0", `${unit} does not run`)
  const since = await machine.says("date +%s")
  await machine.run(how.replaceAll("PID", pid))
  const anew = async (): Promise<boolean> => {
    const now = await show(site, unit, "MainPID")
    return now !== "0" && now !== pid && (await show(site, unit, "ActiveState")) === "active"
  }
  await until(anew, seconds, `${unit} was not started anew`)
  return machine.says(
    `journalctl -u ${unit} --since @${since} -o cat --no-pager | grep -iE 'exited|watchdog|oom' || true`,
  )
}

/** As before; PCR 23 still says what the log says, or it would not be authentic. */
async function goesOn(site: Site): Promise<string> {
  const verdict = await site.answer()
  good(verdict)
  return `started anew; overall ${verdict.tier}`
}

const agentKilled: Case = {
  name: "agent killed",
  says: "SIGKILL: started anew, the same log goes on",
  leaves: "as it was",
  run: async site => {
    const said = await dies(site, "assay-agent", "kill -KILL PID", 600)
    must(said.includes("status=9/KILL"), `systemd saw another end: ${said}`)
    return goesOn(site)
  },
}

const watchdog: Case = {
  name: "agent stopped",
  says: "SIGSTOP: the watchdog ends it, and it is started anew",
  leaves: "as it was",
  run: async site => {
    const period = spanSeconds(await show(site, "assay-agent", "WatchdogUSec"))
    must(period > 0, "the unit has no watchdog")
    const said = await dies(site, "assay-agent", "kill -STOP PID", 2 * period + 600)
    must(/watchdog/i.test(said), `systemd saw another end: ${said}`)
    return `${await goesOn(site)}; watchdog of ${period} s`
  },
}

/** Seconds in a span as systemd prints it: "1min 30s", "infinity". */
export function spanSeconds(text: string): number {
  const units = new Map([
    ["us", 1e-6],
    ["ms", 1e-3],
    ["s", 1],
    ["min", 60],
    ["h", 3600],
  ])
  const parts = [...text.matchAll(/(\d+)(us|ms|min|s|h)/g)]
  return parts.reduce((sum, [, n, unit]) => sum + Number(n) * (units.get(unit ?? "") ?? 0), 0)
}

const outOfMemory: Case = {
  name: "out of memory",
  says: "the OOM killer ends the agent, and it is started anew",
  leaves: "as it was",
  run: async site => {
    const limit = await show(site, "assay-agent", "MemoryMax")
    const set = (most: string): string => `systemctl set-property --runtime assay-agent MemoryMax=${most}`
    const said = await dies(site, "assay-agent", `${set("24M")}; sleep 3; ${set(limit)}`, 600)
    must(/oom/i.test(said), `systemd saw another end: ${said}`)
    return goesOn(site)
  },
}

const brokerKilled: Case = {
  name: "broker killed",
  says: "SIGKILL: started anew, and the log goes on",
  leaves: "as it was",
  run: async site => {
    await dies(site, "assay-broker", "kill -KILL PID", 600)
    return goesOn(site)
  },
}

export const killedCases: readonly Case[] = [agentKilled, watchdog, outOfMemory, brokerKilled]
