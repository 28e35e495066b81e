/**
 * What is a running agent? An attester, a spool, a socket for local questions, and, once it is enrolled, reports and a
 * connection. It takes a new collector while it runs, and ends in order when it is told to.
 */
import { hostname } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { callersOf, type Handlers, listenLocal, serveVerbs } from "../local/call.ts"
import { keepTelling, type Supervisor } from "../local/supervisor.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { fromHex, toBase64, toHex } from "../attestation/wire/text.ts"
import { Attester } from "./attester.ts"
import type { Configuration } from "./config.ts"
import { stayConnected } from "./connect.ts"
import { enrol, enrolAnew, type EnrolParts } from "./enrol.ts"
import { type Enrolment, noteSuccessor, readEnrolment, writeEnrolment } from "./enrolment.ts"
import { agentHasher, WeightsGuard } from "./hash/guard.ts"
import type { Hasher } from "./hash/hasher.ts"
import { thisMachine } from "./reader/ask.ts"
import { Freshness } from "./freshness.ts"
import type { Serving } from "../channel/listen.ts"
import { openListener } from "./listener.ts"
import { KnownPrefix } from "./outbox.ts"
import type { Broker, Recorded } from "./record.ts"
import { makeReports } from "./reports.ts"
import { measureAfterResume } from "./resume/resume.ts"
import { Spool } from "./spool.ts"
import { Standing } from "./standing.ts"
import { type Say, told, Trouble } from "./trouble.ts"
import { agentSocket, agentVerbs, type Status } from "./verbs.ts"
import { version } from "./version.ts"
import { fetchSecret, Wishes } from "./wishes.ts"

export type AgentParts = {
  readonly broker: Broker
  readonly configuration: Configuration
  readonly signal: AbortSignal
  readonly now: () => number
  readonly random: () => number
  readonly say: Say
  readonly supervisor: Supervisor
  readonly invitation: { readonly text: string } | "none"
}

/** One step of measuring may take as long (ms): a library of gigabytes on a slow disk, a TPM that computes an RSA key. */
const longestStep = 600_000
/** Between attempts of the first measurement (ms): doubled up to a minute. */
const firstPause = 2000
/** How often systemd is asked for more time at the start, if anything was looked at within `moved`, and for how much (ms). */
const extension = { every: 15_000, moved: 60_000, by: 60_000 }

/** One agent, from its start to its end. */
export class Agent {
  readonly #parts: AgentParts
  readonly #attester: Attester
  readonly #hasher: Hasher
  #guard: WeightsGuard | "none" = "none"
  readonly #spool: Spool
  readonly #standing: Standing
  readonly #wishes = new Wishes()
  #enrolment: Enrolment | "none"
  #connecting = new AbortController()
  #connected: Promise<void> = Promise.resolve()

  private constructor(parts: AgentParts, spool: Spool, enrolment: Enrolment | "none") {
    const { broker, configuration, now, say } = parts
    this.#parts = parts
    this.#hasher = agentHasher(configuration, say)
    this.#attester = new Attester({ broker, host: thisMachine(configuration), configuration, now }, this.#hasher)
    this.#spool = spool
    this.#standing = new Standing(now)
    this.#enrolment = enrolment
  }

  /** Opens what lies on disk. Throws Trouble. */
  static async open(parts: AgentParts): Promise<Agent> {
    const { state, spool } = parts.configuration
    const { evidence, mebibytes, horizon } = spool
    const limits = { evidence, bytes: mebibytes * 2 ** 20, horizon: horizon * 86_400_000 }
    return new Agent(parts, await Spool.open(join(state, "spool"), limits, parts.say), await readEnrolment(state))
  }

  /** Runs until its signal is aborted. */
  async run(): Promise<void> {
    const { configuration, signal } = this.#parts
    const server = await listenLocal(join(configuration.runtime, agentSocket), 0o660)
    const asking = callersOf(server)
    serveVerbs(server, agentVerbs, this.#handlers())
    const quiet = keepTelling(this.#parts.supervisor, () => this.#attester.moves(longestStep))
    const reports = this.#makeReports()
    const listener = await this.#listen()
    const first = this.#measureFirst().then(() => this.#joinAtStart())
    const { now, say } = this.#parts
    const awake = measureAfterResume({ bus: configuration.resume.bus, now, say }, this.#attester, signal)
    const guard = this.#guardWeights()
    this.#guard = guard
    const fresh = first.then(() => this.#keepFresh())
    this.#connect()
    await new Promise<void>(resolve => {
      if (signal.aborted) resolve()
      signal.addEventListener("abort", () => resolve(), { once: true })
    })
    this.#connecting.abort()
    await listener?.stop()
    await Promise.all([reports, first, awake, this.#connected, guard.close(), fresh.then(each => each.close())])
    await this.#attester.close()
    quiet()
    server.close()
    for (const each of asking) each.destroy()
  }

  /** Whoever cannot open the door goes on without it, and says so. */
  async #listen(): Promise<Serving | undefined> {
    const { broker, configuration, now, say } = this.#parts
    const { listener, state } = configuration
    if (listener === "off") return undefined
    try {
      return await openListener({ attester: this.#attester, broker, state, listener, now, say })
    } catch (error) {
      const { message, hint } = told(error)
      say(`cannot listen for verifiers: ${message}`, hint)
      return undefined
    }
  }

  #makeReports(): Promise<void> {
    const { configuration, say, signal } = this.#parts
    const common = { attester: this.#attester, spool: this.#spool, standing: this.#standing, say }
    const audience = (): { readonly named: string } | "nobody" =>
      this.#enrolment === "none" ? "nobody" : { named: this.#enrolment.audience }
    return makeReports({ ...common, every: configuration.reports.every, audience }, signal)
  }

  #guardWeights(): WeightsGuard {
    const { configuration, now, say, signal } = this.#parts
    const measure = (): Promise<unknown> => this.#attester.measure("quick", signal)
    return new WeightsGuard({ hasher: this.#hasher, configuration, measure, now, say })
  }

  #keepFresh(): Freshness {
    const { configuration, say, signal } = this.#parts
    const measure = async (): Promise<number> => (await this.#attester.measure("quick", signal)).appended
    const recorded = (): Recorded => this.#attester.recorded
    const { glance, beat } = configuration.fresh
    const settings = { glance: glance * 1000, beat: beat * 1000, quiet: 2500 }
    return new Freshness({ host: thisMachine(configuration), measure, recorded, say }, settings)
  }

  /** What is measured at the start need not be read again when the first challenge comes. Until it is, the agent is not ready. */
  async #measureFirst(): Promise<void> {
    const { say, signal, supervisor } = this.#parts
    const more = setInterval(() => {
      if (this.#attester.moves(extension.moved)) supervisor.tell(`EXTEND_TIMEOUT_USEC=${extension.by * 1000}`)
    }, extension.every)
    for (let pause = firstPause; !signal.aborted; pause = Math.min(2 * pause, 60_000)) {
      try {
        await this.#attester.measure("quick", signal)
        supervisor.tell("READY=1", "STATUS=this machine is measured")
        break
      } catch (error) {
        const { message, hint } = told(error)
        if (!signal.aborted) say(`cannot measure this machine: ${message}`, hint)
      }
      await delay(pause, undefined, { signal }).catch(() => undefined)
    }
    clearInterval(more)
  }

  /** An invitation that came with the service is used once; afterwards the enrolment stands. */
  async #joinAtStart(): Promise<void> {
    const { invitation, say, signal } = this.#parts
    if (invitation === "none" || this.#enrolment !== "none" || signal.aborted) return
    try {
      const { host, port } = await this.#join(invitation.text)
      say(`joined ${host}:${port}`, "")
    } catch (error) {
      const { message, hint } = told(error)
      if (!signal.aborted) say(`cannot join by the invitation that came with the service: ${message}`, hint)
    }
  }

  #connect(): void {
    const enrolment = this.#enrolment
    if (enrolment === "none") return
    const { host, port, pin, attester, ak } = enrolment
    const { say, random, signal, configuration } = this.#parts
    const common = { attester: this.#attester, spool: this.#spool, standing: this.#standing, say, random }
    const parts = {
      ...common,
      who: { attester, ak },
      known: new KnownPrefix(),
      wishes: this.#wishes,
      endpoint: { host, port, pin: fromHex(pin), proxy: configuration.proxy },
      succeeded: (successor: Uint8Array) => this.#follow(successor),
    }
    this.#connecting = new AbortController()
    this.#connected = stayConnected(parts, AbortSignal.any([signal, this.#connecting.signal]))
  }

  /** The collector's key has a successor, which the key of before signed: from now on that one counts. */
  async #follow(successor: Uint8Array): Promise<void> {
    const { configuration, now, say } = this.#parts
    if (this.#enrolment === "none") return
    const pin = toHex(successor)
    await noteSuccessor(configuration.state, {
      from: this.#enrolment.pin,
      to: pin,
      seen: new Date(now()).toISOString(),
    })
    this.#enrolment = { ...this.#enrolment, pin }
    say(`the collector's key has a successor, signed by the key of before: its pin is ${pin}`, "")
  }

  #handlers(): Handlers<typeof agentVerbs> {
    const { signal } = this.#parts
    return {
      status: () => this.#status(),
      measure: async ({ depth }) => {
        const { log, appended } = await this.#attester.measure(depth, signal)
        return { log: log.state, appended }
      },
      run: ({ depth, ...request }) => this.#attester.ready(request, depth, signal),
      join: ({ invitation }) => this.#join(invitation),
      rotate: ({ invitation }) => this.#rotate(invitation),
      secret: ({ name }) => this.#secret(name),
    }
  }

  async #secret(name: string) {
    const fetched = await fetchSecret(this.#parts.broker, this.#wishes, name)
    return fetched.kind === "withheld" ? fetched : { ...fetched, secret: toBase64(fetched.secret) }
  }

  #enrolling(): EnrolParts {
    const { broker, now, configuration } = this.#parts
    return { broker, label: hostname(), proxy: configuration.proxy, now }
  }

  async #join(invitation: string): Promise<Pick<Enrolment, "attester" | "host" | "port">> {
    const { configuration, signal } = this.#parts
    const enrolment = await enrol(this.#enrolling(), readInvitation(invitation), signal)
    await writeEnrolment(configuration.state, enrolment)
    this.#connecting.abort()
    await this.#connected
    this.#enrolment = enrolment
    this.#connect()
    const { attester, host, port } = enrolment
    return { attester, host, port }
  }

  /** The connection rests meanwhile: what the new AK signs is of no use to a collector that does not know it yet. */
  async #rotate(invitation: string): Promise<Pick<Enrolment, "attester" | "host" | "port">> {
    const { configuration, signal } = this.#parts
    if (this.#spool.waiting.length > 0)
      throw new Trouble(
        "evidence of the AK of before still waits for the collector",
        "let it connect first, then rotate",
      )
    this.#connecting.abort()
    await this.#connected
    try {
      const enrolment = await enrolAnew(this.#enrolling(), readInvitation(invitation), signal)
      await writeEnrolment(configuration.state, enrolment)
      this.#enrolment = enrolment
      const { attester, host, port } = enrolment
      return { attester, host, port }
    } finally {
      this.#connect()
    }
  }

  async #status(): Promise<Status> {
    const { identity, log } = await this.#parts.broker.call("identity", {})
    const { connection, evidence, acknowledged, refused } = this.#standing
    const { hashing } = this.#attester
    return {
      ...{ version, attester: identity.attester, collector: collectorOf(this.#enrolment), connection, evidence },
      ...{ acknowledged, refused, hashing: hashing === "nothing" ? null : hashing, log },
      recheck: recheckOf(this.#guard),
      spool: { waiting: this.#spool.waiting.length, acknowledged: this.#spool.acknowledged.length },
    }
  }
}

function recheckOf(guard: WeightsGuard | "none"): Status["recheck"] {
  const recheck = guard === "none" ? ({ state: "off" } as const) : guard.status
  if (recheck.state === "off" || recheck.state === "nothing to read") return recheck
  const [begun, until] = [recheck.begun, recheck.until].map(each => new Date(each).toISOString())
  return { ...recheck, begun: begun ?? "", until: until ?? "" }
}

function collectorOf(enrolment: Enrolment | "none"): Status["collector"] {
  if (enrolment === "none") return null
  const { host, port, pin, resultKey, joined } = enrolment
  return { host, port, pin, resultKey, joined }
}
