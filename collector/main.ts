/**
 * How is a collector put together, and how does it end? Its parts are made here, in order, and handed to each other; clock and
 * stderr enter here and nowhere else. What it does is in the files that it names.
 */
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { callersOf, listenLocal, serveVerbs } from "../local/call.ts"
import { withLevel } from "../local/journal.ts"
import { keepTelling, type Supervisor } from "../local/supervisor.ts"
import { Allowance } from "../channel/allowance.ts"
import { administer } from "./administer.ts"
import { ownBuild, version } from "./build.ts"
import type { Verifier } from "./conclude.ts"
import type { Configuration } from "./config.ts"
import { lockFolder } from "./database.ts"
import { Buffered } from "./delivery.ts"
import { Fleet } from "./fleet.ts"
import { Governor } from "./governor.ts"
import { judgeOver } from "./judge.ts"
import { resultKey } from "./keys.ts"
import type { Parts } from "./parts.ts"
import { noticeRestoration, writeMark } from "./restoration.ts"
import { safeIn } from "./safe.ts"
import { serve } from "./serve.ts"
import { openSqlite } from "./sqlite.ts"
import { tlsIdentity, tlsKeys } from "./tls.ts"
import { publisherOf } from "./vault/origin.ts"
import { socketName, verbs } from "./verbs.ts"

/** A collector that runs. */
export type Collector = {
  readonly port: number
  /** SHA-256 of the TLS key's SubjectPublicKeyInfo */
  readonly pin: Uint8Array
  /** 32 bytes of Ed25519 */
  readonly resultKey: Uint8Array
  /** the administration socket; its verbs are in `verbs.ts` */
  readonly socket: string
  /** Says goodbye to everybody, removes the socket and closes the store. */
  stop(): Promise<void>
}

/** How often it is noted how much the store holds. */
const markSeconds = 10
/** How often nonces that nobody will answer any more are forgotten. */
const sweepSeconds = 300
/** The most unanswered nonces that are remembered under one name, whoever said it. */
const noncesKept = 1000

/** Runs a collector until `signal` is aborted. Throws StoreUnusable, ProgramMissing, and what the system refuses. */
export async function runCollector(
  config: Configuration,
  { signal, supervisor }: { readonly signal: AbortSignal; readonly supervisor: Supervisor },
): Promise<void> {
  const collector = await startCollector(config, sayOnStderr)
  supervisor.tell("READY=1", `STATUS=listens on port ${collector.port}`)
  const quiet = keepTelling(supervisor, () => true)
  if (!signal.aborted) await new Promise(resolve => signal.addEventListener("abort", resolve, { once: true }))
  quiet()
  await collector.stop()
}

/** A fault is a mistake of ours; anything else that is said is what happened. */
function sayOnStderr(line: string): void {
  process.stderr.write(withLevel(/(?:^|: )fault: /.test(line) ? "error" : "info", `assay: collector: ${line}\n`))
}

/** Starts a collector that tells people what happens through `say`. */
export async function startCollector(config: Configuration, say: (line: string) => void): Promise<Collector> {
  await mkdir(config.state, { recursive: true, mode: 0o700 })
  await mkdir(config.runtime, { recursive: true, mode: 0o750 })
  const started = Date.now()
  const ending: (() => Promise<void> | void)[] = []
  const stop = async (): Promise<void> => {
    for (const end of ending.splice(0).toReversed()) await end()
  }
  try {
    return { ...(await assemble(config, say, started, ending)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function assemble(
  config: Configuration,
  say: (line: string) => void,
  started: number,
  ending: (() => Promise<void> | void)[],
): Promise<Omit<Collector, "stop">> {
  const now = (): number => Date.now()
  const lock = lockFolder(join(config.state, "lock"))
  ending.push(() => lock.release())
  const key = resultKey(config.state)
  const tls = tlsIdentity(config.state)
  const store = openSqlite(join(config.state, "collector.db"))
  ending.push(() => store.close())
  const governor = await Governor.over({ store, now }, config.policy.root.replace("sha256:", "") || null)
  const verifier: Verifier = { version, build: ownBuild(), key, approvals: () => governor.approvals() }
  const fleet = new Fleet(config.challenge.every)
  ending.push(() => fleet.stop())
  const parts: Parts = {
    ...{ config, store, fleet, governor, now, say, resultKey: key.publicKey },
    judge: judgeOver(
      store,
      verifier,
      {
        pcrs: config.evidence.pcrs,
        logPcr: config.evidence.pcr,
        audience: { named: config.name },
        quirks: config.evidence.quirks,
      },
      now,
    ),
    safe: safeIn(config),
    buffered: new Buffered(config.limits.buffered * (1 << 20)),
    questions: new Allowance(config.limits.asks),
  }
  const mark = join(config.state, "mark.json")
  if (await noticeRestoration(store, mark, now()))
    say(
      "fault: the store holds less than before: it came out of a backup, and every attester is a warning until it boots anew",
    )
  const remember = (): Promise<void> => writeMark(store, mark)
  await remember()
  ending.push(remember)
  const marking = setInterval(() => void remember().catch(error => say(`fault: ${error}`)), markSeconds * 1000)
  ending.push(() => clearInterval(marking))
  const forget = (): Promise<void> => store.forgetNonces(now() - config.limits.late * 1000, now(), noncesKept)
  await forget()
  const sweep = setInterval(() => void forget().catch(error => say(`fault: ${error}`)), sweepSeconds * 1000)
  ending.push(() => clearInterval(sweep))

  const publisher = publisherOf(config, { store, now, say })
  ending.push(() => publisher.stop())
  await publisher.start()

  const serving = await serve(parts, tls)
  ending.push(() => serving.stop())
  const socket = join(config.runtime, socketName)
  const { host } = config.advertise
  const port = config.advertise.port || serving.port
  const admin = await listenLocal(socket, 0o660)
  ending.push(() => new Promise<void>(resolve => admin.close(() => resolve())))
  const callers = callersOf(admin)
  ending.push(() => callers.forEach(each => each.destroy()))
  serveVerbs(
    admin,
    verbs,
    administer({ parts, verifier, tls: tlsKeys(config.state, tls, serving), host, port, started }),
  )
  say(`listening on ${config.listen.host} port ${serving.port}, asked through ${socket}`)
  say(`pin ${Buffer.from(tls.pin).toString("hex")}`)
  return { port: serving.port, pin: tls.pin, resultKey: key.publicKey, socket }
}
