/** What if the world around the machine fails: the network, the clock, the disk, the lid? Nothing is lost, and no alarm is raised. */
import { setTimeout as delay } from "node:timers/promises"
import { z } from "zod"
import { type Case, found, good, must, notFound } from "../case.ts"
import { until } from "../patience.ts"
import { describe, type Site } from "../site.ts"

const agentStatus = z.object({
  agent: z.object({
    spool: z.object({ waiting: z.number(), acknowledged: z.number() }),
    connection: z.object({ state: z.string() }),
  }),
})

type Spool = { readonly waiting: number; readonly connected: boolean }

async function spoolOf({ machine }: Site): Promise<Spool> {
  const said = await machine.run("assay status --agent-config /etc/assay/agent.toml --json", { good: [0, 3] })
  const { agent } = agentStatus.parse(JSON.parse(said.out))
  return { waiting: agent.spool.waiting, connected: agent.connection.state === "connected" }
}

const kept = (site: Site): number => Number(site.rows("SELECT count(*) AS n FROM evidence")[0]?.["n"])

const network: Case = {
  name: "network cut",
  says: "what was made meanwhile comes in order, nothing is lost, a late answer is history",
  leaves: "as it was",
  run: async site => {
    await site.collect({ every: 3600, deadline: 20, stale: 7200 })
    try {
      const { waiting, before } = await offline(site)
      await site.collect()
      const verdict = await site.answer()
      good(verdict)
      notFound(verdict, /^chain\.gap$/)
      const { gaps } = await site.status()
      must(gaps.length === 0, `gaps: ${JSON.stringify(gaps)}`)
      const came = kept(site) - before
      must(came > waiting, `${waiting} waited, ${came} came`)
      return `${waiting} pieces waited, ${came} came`
    } finally {
      await site.machine.network(true)
      await site.collect()
    }
  },
}

/** Asks, draws the cable, waits and puts it in again: how much waited meanwhile, and what the collector held before. */
async function offline(site: Site): Promise<{ waiting: number; before: number }> {
  await until(async () => (await spoolOf(site)).connected, 600, "the agent did not connect")
  const before = kept(site)
  const asked = site.verdict()
  await delay(1000) // the question is there; its answer is not made yet
  await site.machine.network(false)
  const late = await asked
  must(late.tier === "unanswered", `an answer came through a cut cable: ${describe(late)}`)
  await delay((site.soak ? 3600 : 60) * 1000)
  let waiting = 0
  const several = async (): Promise<boolean> => ({ waiting } = await spoolOf(site)).waiting > 1
  await until(several, 600, "fewer than two pieces wait")
  await site.machine.network(true)
  const drained = async (): Promise<boolean> => {
    const now = await spoolOf(site)
    return now.connected && now.waiting === 0
  }
  await until(drained, 600, "the spool did not drain")
  return { waiting, before }
}

const clock: Case = {
  name: "clock set back",
  says: "a year: evidence is as fresh as its nonce, and the clock is a finding",
  leaves: "as it was",
  run: async site => {
    try {
      await site.machine.run("date -s '1 year ago'")
      const verdict = await site.answer()
      good(verdict)
      found(verdict, "time.behind")
    } finally {
      await site.machine.run(`date -s @${Math.floor(Date.now() / 1000)}`)
    }
    const back = await site.answer()
    good(back)
    notFound(back, /^time\./)
    return "found, and gone"
  },
}

const diskFull: Case = {
  name: "disk full",
  says: "said clearly, nothing is damaged, and all goes on once there is room",
  leaves: "as it was",
  run: async site => {
    const { machine } = site
    const since = await machine.says("date +%s")
    let meanwhile = ""
    try {
      await machine.run(fill, { good: [0, 1] })
      const free = await machine.says("df --output=avail / | tail -n 1")
      must(Number(free) < 64, `${free} KiB are free still`)
      await machine.network(false)
      await delay(30_000) // reports cannot be kept
      await machine.network(true)
      meanwhile = await clearly(site)
      const doctor = await machine.run("assay doctor", { good: [0, 1, 69] })
      must(/make room on the disk/.test(doctor.out), `the doctor does not see it:\n${doctor.out}`)
    } finally {
      await machine.network(true)
      await machine.run("rm -f /fill /fill-rest; sync")
    }
    const verdict = await site.answer("quick", 600)
    good(verdict)
    notFound(verdict, /^chain\.gap$/)
    const said = await machine.says(`journalctl -u assay-agent -u assay-broker --since @${since} -o cat --no-pager`)
    must(/ENOSPC|no space|room on the disk/i.test(said), `nothing was said of the disk:\n${said}`)
    const damaged = await machine.says("ls /var/lib/assay-agent/spool/damaged | wc -l")
    must(damaged === "0", "the spool is damaged")
    return `meanwhile ${meanwhile}; overall ${verdict.tier} afterwards`
  },
}

/** Blocks are taken without being written, then the last of them. */
const fill = `fallocate -l "$(df --output=avail -B1 / | tail -n 1)" /fill || fallocate -l "$(($(df --output=avail -B1 / | tail -n 1) - 2097152))" /fill
dd if=/dev/zero of=/fill-rest bs=4096
sync`

/** What a machine without room answers: as well as ever where nothing is to be written, or that there is no room. */
async function clearly(site: Site): Promise<string> {
  let last = await site.verdict()
  const clear = (): boolean => last.tier !== "unanswered" || /ENOSPC|no space|reader .* does not answer/i.test(last.why)
  const told = async (): Promise<boolean> => clear() || ((last = await site.verdict()), clear())
  await until(told, 600, "neither an answer nor a reason came").catch(error => {
    throw new Error(`${String(error)}; the last was:\n${describe(last)}`)
  })
  if (last.tier !== "unanswered") good(last)
  return last.tier === "unanswered" ? `no answer (${last.why.slice(0, 60)}…)` : `overall ${last.tier}`
}

const suspend: Case = {
  name: "suspend",
  says: "asleep (S3) and awake: a new log of the same boot, no alarm",
  leaves: "as it was",
  run: async site => {
    const counters = (): Promise<string> =>
      site.machine.says("tpm2_readclock | grep -E 'reset_count|restart_count' | tr -s ' \\n' ' '")
    const before = await counters()
    await site.machine.sleep(3)
    const after = await counters()
    must(before !== after, `the TPM did not notice: ${after}`)
    good(await site.answer("quick", 600))
    return after.trim()
  },
}

export const worldCases: readonly Case[] = [network, clock, diskFull, suspend]
