/**
 * Where are attacks run? On the product's own commands, each a process: `assay collector` and `assay agent` with its broker, on software TPMs, joined through
 * a relay that can be told to open TLS. What a person would see of it is asked with `assay status` and `assay explain`.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { connect, createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { createServer as createTls } from "node:tls"
import { z } from "zod"
import { type CollectorVerbs, socketName, verbs } from "../collector/verbs.ts"
import { type Caller, openCaller } from "../local/call.ts"
import { type Service, startService } from "../scripts/start/child.ts"
import { removeFolder, temporaryFolder } from "./collector-house.ts"
import { record } from "./recorder.ts"
import type { Swtpm } from "./swtpm.ts"
import { tlsKey } from "./tls-key.ts"

/** What `assay status` says of one machine, as far as tests look. */
const shown = z.object({
  standing: z.object({ state: z.string(), stale: z.boolean(), fresh: z.string().nullable(), connected: z.boolean() }),
  enrolled: z.object({ number: z.number() }),
  answer: z.object({ evidence: z.string(), findings: z.array(z.object({ id: z.string() })) }).nullable(),
  incidents: z.array(z.object({ kind: z.string(), findings: z.array(z.object({ id: z.string() })) })),
  gaps: z.array(z.object({ evidence: z.string(), missing: z.string().nullable() })),
})

export type Seen = {
  readonly state: string
  readonly stale: boolean
  readonly fresh: string | null
  readonly connected: boolean
  readonly number: number
  /** of the newest answer in time */
  readonly found: readonly string[]
  /** of what was refused last */
  readonly refused: readonly string[]
  readonly gaps: number
}

/** A collector as a process, and what is known of it. `admin` leads to it after each of its starts. */
export type Site = {
  readonly folder: string
  readonly config: string
  readonly port: number
  /** the collector's own port, behind the relay */
  readonly inner: () => number
  readonly admin: () => Caller<CollectorVerbs>
  /** what the relay does with TLS: lets it through, or ends it with a key of its own */
  readonly relay: { mode: "passes" | "opens TLS"; heard: Buffer[] }
  readonly said: () => string
  see(attester: string): Promise<Seen>
  /** in one line */
  explain(attester: string): Promise<string>
  /** stops the collector, does `work` on its files and starts it again */
  meanwhile(work: () => void): Promise<void>
  stop(): Promise<void>
}

const answers = async (path: string): Promise<Caller<CollectorVerbs>> => {
  for (;;) {
    const caller = await openCaller(path, verbs, 60_000).catch(() => undefined)
    if (caller) return caller
    await delay(20)
  }
}

/** Starts `assay collector`; `more` is TOML of its configuration. */
export async function openSite(more = ""): Promise<Site> {
  const folder = temporaryFolder()
  const config = join(folder, "collector.toml")
  const log = join(folder, "collector.log")
  const relay: Site["relay"] = { mode: "passes", heard: [] }
  let inner = 0
  const { server, port, close } = await startRelay(relay, folder, () => inner)
  writeFileSync(
    config,
    `${more}\nstate = "${join(folder, "state")}"\nruntime = "${join(folder, "run")}"
listen = { host = "127.0.0.1", port = 0 }\nadvertise = { host = "127.0.0.1", port = ${port} }
evidence = { pcrs = [0, 7, 23] }\n`,
  )
  let service: Service
  let admin: Caller<CollectorVerbs>
  const start = async (): Promise<void> => {
    service = startService("collector", ["collector", "--config", config], log)
    admin = await answers(join(folder, "run", socketName))
    while (inner === 0) {
      inner = Number(/listening on \S+ port (\d+)/.exec(readFileSync(log, "utf8"))?.[1] ?? 0)
      if (inner === 0) await delay(20)
    }
  }
  await start()
  return {
    ...{ folder, config, port, relay, inner: () => inner, admin: () => admin, said: () => readFileSync(log, "utf8") },
    see: async attester => {
      const { out, err } = await record(["status", attester, "--collector-config", config, "--json"])
      if (out === "") throw new Error(err)
      const { standing, enrolled, answer, incidents, gaps } = shown.parse(JSON.parse(out))
      const { state, stale, fresh, connected } = standing
      return {
        ...{ state, stale, fresh, connected, number: enrolled.number, gaps: gaps.length },
        found: (answer?.findings ?? []).map(({ id }) => id),
        refused: (incidents[0]?.findings ?? []).map(({ id }) => id),
      }
    },
    explain: async attester =>
      (await record(["explain", attester, "--all", "--config", config])).out.replaceAll(/\s+/g, " "),
    meanwhile: async work => {
      admin.close()
      await service.stop()
      work()
      inner = 0
      await start()
    },
    stop: async () => {
      admin.close()
      await service.stop()
      close()
      server.close()
      removeFolder(folder)
    },
  }
}

/** A way between machines and the collector that somebody else owns. */
async function startRelay(relay: Site["relay"], folder: string, inner: () => number) {
  const open = new Set<Socket>()
  const tls = createTls(tlsKey(join(folder, "proxy.pem"), "proxy"), socket =>
    socket.on("data", data => relay.heard.push(data)).on("error", () => undefined),
  )
  const server = createServer(outer => {
    open.add(outer.on("close", () => open.delete(outer)).on("error", () => outer.destroy()))
    if (relay.mode === "opens TLS") {
      tls.emit("connection", outer)
      return
    }
    const onward = connect(inner(), "127.0.0.1")
    open.add(onward.on("close", () => outer.destroy()).on("error", () => outer.destroy()))
    outer.pipe(onward).pipe(outer)
    outer.on("close", () => onward.destroy())
  })
  const close = (): void => open.forEach(each => each.destroy())
  return { server, port: await listening(server), close }
}

const listening = (server: Server): Promise<number> =>
  new Promise(resolve =>
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address ? address.port : 0)
    }),
  )

/** `assay agent` on a TPM, with its files in `folder`. */
export type AgentProcess = {
  readonly config: string
  readonly broker: string
  readonly said: () => string
  start(): void
  stop(): Promise<void>
  /** what `assay status` says of it, or nothing while it does not answer */
  status(): Promise<{ readonly problem: string; readonly waiting: number }>
}

const answered = z.object({
  connection: z.object({ problem: z.string().optional() }),
  spool: z.object({ waiting: z.number() }),
})
const standing = z.object({ agent: z.union([z.literal("absent"), answered]) })

/** Lays an agent's files; it is started by `start`. */
export function layAgent(folder: string, tpm: Swtpm, site: Pick<Site, "config">): AgentProcess {
  const config = join(folder, "agent.toml")
  const log = join(folder, "agent.log")
  mkdirSync(join(folder, "model"), { recursive: true })
  writeFileSync(join(folder, "model/weights"), "weights")
  chmodSync(folder, 0o755)
  writeFileSync(
    config,
    `state = "${join(folder, "agent")}"\nruntime = "${join(folder, "arun")}"\ntpm = { tcti = "${tpm.tcti}", software = true }\nreports = { every = 1 }
[[weights]]\nname = "m"\npath = "${join(folder, "model")}"\n`,
  )
  let service: Service | undefined
  return {
    config,
    broker: join(folder, "agent/broker"),
    said: () => readFileSync(log, "utf8"),
    start: () => void (service = startService("agent", ["agent", "--config", config], log)),
    stop: async () => service?.stop(),
    status: async () => {
      const { out } = await record(["status", "--agent-config", config, "--collector-config", site.config, "--json"])
      const { agent } = standing.parse(JSON.parse(out))
      if (agent === "absent") return { problem: "absent", waiting: 0 }
      return { problem: agent.connection.problem ?? "", waiting: agent.spool.waiting }
    },
  }
}
