/**
 * Who starts what? The agent's parts are made here and given to one another: broker, attester, spool, socket, reports and the
 * connection to the collector. What each does, each says itself. Arguments and signals are the command's business.
 */
import { mkdir } from "node:fs/promises"
import { hostname } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import type { z } from "zod"
import { CallFailed, listenLocal, openCaller } from "../local/call.ts"
import type { Supervisor } from "../local/supervisor.ts"
import { type Invitation, readInvitation, writeInvitation } from "../attestation/protocol/invitation.ts"
import { brokerAt, spawnBroker, spawnDefaults } from "./broker/spawn.ts"
import type { Configuration } from "./config.ts"
import { enrol, enrolAnew } from "./enrol.ts"
import { type Enrolment, writeEnrolment } from "./enrolment.ts"
import { attestOnce, type OnceOptions } from "./once.ts"
import { Attester, type Evidence, type Hashing } from "./attester.ts"
import { Host } from "./host.ts"
import type { Ready } from "./run/ready.ts"
import type { Broker } from "./record.ts"
import { Agent } from "./agent.ts"
import { sayOnStderr } from "./trouble.ts"
import { agentSocket, agentVerbs } from "./verbs.ts"

/** What the command gives. Milliseconds since 1970, and a number from 0 up to 1. */
export type AgentOptions = {
  readonly signal: AbortSignal
  readonly now: () => number
  readonly random: () => number
  /** who is told of readiness and progress */
  readonly supervisor: Supervisor
  /** by which a machine that has joined no collector joins one at its start */
  readonly invitation: { readonly text: string } | "none"
}

/** Runs the agent until `signal` is aborted; resolves when everything it started has ended. */
export async function runAgent(configuration: Configuration, options: AgentOptions): Promise<void> {
  await makeFolders(configuration)
  const lock = await listenLocal(join(configuration.state, "lock"), 0o600)
  try {
    await withBroker(configuration, "its own", async broker => {
      const agent = await Agent.open({ ...options, broker, configuration, say: sayOnStderr })
      await agent.run()
    })
  } finally {
    lock.close()
  }
}

/** Joins the collector of an invitation; through the running agent, if there is one. */
export const joinCollector = (
  configuration: Configuration,
  invitation: string,
  options: JoinOptions,
): Promise<Pick<Enrolment, "attester" | "host" | "port">> => joinBy("join", configuration, invitation, options)

/** The same under a new AK. Evidence that waits is refused afterwards, so a running agent does it only when none does. */
export const rotateKey = (
  configuration: Configuration,
  invitation: string,
  options: JoinOptions,
): Promise<Pick<Enrolment, "attester" | "host" | "port">> => joinBy("rotate", configuration, invitation, options)

type JoinOptions = Pick<AgentOptions, "signal" | "now">

async function joinBy(
  how: "join" | "rotate",
  configuration: Configuration,
  invitation: string,
  { signal, now }: JoinOptions,
): Promise<Pick<Enrolment, "attester" | "host" | "port">> {
  const read = readInvitation(invitation)
  const running = await askRunning(how, configuration, read)
  if (running !== "not running") return running
  await makeFolders(configuration)
  return withBroker(configuration, "any", async broker => {
    const enter = how === "join" ? enrol : enrolAnew
    const enrolment = await enter({ broker, label: hostname(), proxy: configuration.proxy, now }, read, signal)
    await writeEnrolment(configuration.state, enrolment)
    return enrolment
  })
}

/** Measures, attests for a nonce or without one, and writes the evidence and what belongs to it to a folder. */
export async function measureOnce(configuration: Configuration, options: OnceOptions): Promise<Evidence> {
  await makeFolders(configuration)
  return withBroker(configuration, "any", broker => attestOnce(broker, configuration, options))
}

/** Milliseconds in which a collector has let somebody in, or not. */
const joinDeadline = 300_000

async function askRunning(how: "join" | "rotate", { runtime }: Configuration, invitation: Invitation) {
  const opened = await openCaller(join(runtime, agentSocket), agentVerbs, joinDeadline).catch(notRunning)
  if (opened === "not running") return opened
  try {
    return await opened.call(how, { invitation: writeInvitation(invitation) })
  } finally {
    opened.close()
  }
}

/** Milliseconds in which any model has been read: a terabyte at forty megabytes a second. */
const runDeadline = 8 * 3_600_000

/**
 * Hashes what a command names and records that; the command may be started when this has resolved, by the process that is
 * named, and not when it throws. Through the running agent, if there is one.
 */
export async function readyToRun(
  configuration: Configuration,
  request: z.infer<typeof agentVerbs.run.request>,
  { signal, now, progress }: RunOptions,
): Promise<Ready> {
  const socket = join(configuration.runtime, agentSocket)
  const caller = await openCaller(socket, agentVerbs, runDeadline).catch(notRunning)
  if (caller !== "not running") {
    const over = watch(socket, progress)
    return caller.call("run", request).finally(() => {
      over.abort()
      caller.close()
    })
  }
  await makeFolders(configuration)
  return withBroker(configuration, "any", async broker => {
    const attester = new Attester({ broker, host: new Host("/"), configuration, now })
    const every = setInterval(() => progress(attester.hashing), progressEvery)
    const { depth, ...rest } = request
    try {
      return await attester.ready(rest, depth, signal)
    } finally {
      clearInterval(every)
      await attester.close()
    }
  })
}

export type RunOptions = JoinOptions & { readonly progress: (hashing: Hashing) => void }

/** Milliseconds between two looks at how far hashing is. */
const progressEvery = 250

/** Tells how far the running agent is, until the controller that it gives is aborted. */
function watch(socket: string, progress: RunOptions["progress"]): AbortController {
  const over = new AbortController()
  const ask = async (): Promise<void> => {
    const caller = await openCaller(socket, agentVerbs, 10_000)
    over.signal.addEventListener("abort", () => caller.close())
    while (!over.signal.aborted) {
      const { hashing } = await caller.call("status", {})
      if (!over.signal.aborted) progress(hashing ?? "nothing")
      await delay(progressEvery)
    }
  }
  ask().catch(() => undefined) // progress is shown where it can be had
  return over
}

function notRunning(error: unknown): "not running" {
  if (error instanceof CallFailed) return "not running"
  throw error
}

async function makeFolders({ state, runtime }: Configuration): Promise<void> {
  await mkdir(state, { recursive: true, mode: 0o700 })
  await mkdir(runtime, { recursive: true, mode: 0o750 })
}

/** A broker that the system starts; else "any" that runs for an agent now, or one of our own until `use` is over. */
async function withBroker<T>(
  configuration: Configuration,
  which: "its own" | "any",
  use: (broker: Broker) => Promise<T>,
): Promise<T> {
  const { state, runtime, tpm } = configuration
  const socket = tpm.broker === "own" ? join(runtime, "broker.sock") : tpm.broker
  const { callDeadline, patience, pause } = spawnDefaults
  if (tpm.broker !== "own" || (which === "any" && (await answers(socket))))
    return use(brokerAt({ socket, callDeadline, patience }))
  const { tcti, pcr, software, deadline, ek_certificate: ekCertificate } = tpm
  const own = { socket, state: join(state, "broker"), tcti, pcr, softwareTpm: software, deadline: deadline * 1000 }
  const broker = spawnBroker({ ...own, ekCertificate, callDeadline, patience, pause })
  try {
    return await use(broker)
  } finally {
    await broker.close()
  }
}

async function answers(socket: string): Promise<boolean> {
  const caller = await openCaller(socket, {}, 1000).catch(() => undefined)
  caller?.close()
  return caller !== undefined
}
