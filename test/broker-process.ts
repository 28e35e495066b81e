/** How does a test get a broker? A real process on a TPM of the test's, asked over its socket, with its stderr kept. */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { expect } from "vitest"
import { type LogEvent, writeEvent } from "../attestation/protocol/event.ts"
import { decode } from "../attestation/wire/codec.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { type Payload, readPayload } from "../attestation/protocol/evidence.ts"
import { quote } from "../attestation/tcg/attest.ts"
import { type Asked, type Outcome, verify } from "../attestation/verify/verify.ts"
import { brokerAt, type SpawnedBroker } from "../agent/broker/spawn.ts"
import { entryPoint } from "../local/entry.ts"
import type { Swtpm } from "./swtpm.ts"

export type BrokerProcess = {
  readonly socket: string
  readonly state: string
  readonly call: SpawnedBroker["call"]
  readonly pid: number
  /** What it said so far. */
  readonly said: () => string
  readonly kill: (signal: NodeJS.Signals) => boolean
  /** How it ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

type Options = {
  /** where it reaches the TPM; default: the TPM's own socket */
  readonly tcti?: string
  /** folder of its state, in the TPM's directory */
  readonly state?: string
  readonly deadline?: number
  readonly pcr?: number
  /** a file */
  readonly ekCertificate?: string
}

const running = new Set<BrokerProcess>()

/** Starts a broker on `tpm`; it is asked as soon as it answers. */
export function startBroker(
  tpm: Swtpm,
  { tcti = tpm.tcti, state = "state", deadline = 10_000, pcr = 23, ekCertificate = "" }: Options = {},
): BrokerProcess {
  const socket = join(tpm.directory, `${state}.sock`)
  const folder = join(tpm.directory, state)
  const where = [
    "--socket",
    socket,
    "--state",
    folder,
    "--tcti",
    tcti,
    "--deadline",
    String(deadline),
    "--pcr",
    String(pcr),
    "--ek-certificate",
    ekCertificate,
  ]
  const args = [entryPoint("broker"), ...where, "--software-tpm", "--attached"]
  const child = spawn(process.execPath, args, { stdio: ["pipe", "ignore", "pipe"] })
  let said = ""
  child.stderr.on("data", piece => (said += String(piece)))
  const ended = new Promise<Awaited<BrokerProcess["ended"]>>(resolve =>
    child.once("close", (code, signal) => {
      running.delete(broker)
      resolve({ code, signal })
    }),
  )
  const broker: BrokerProcess = {
    socket,
    state: folder,
    call: brokerAt({ socket, callDeadline: 30_000, patience: 10_000 }).call,
    pid: child.pid ?? 0,
    said: () => said,
    kill: signal => child.kill(signal),
    ended,
  }
  running.add(broker)
  return broker
}

/** Ends `broker` in the ordinary way. */
export async function stopBroker(broker: BrokerProcess): Promise<void> {
  broker.kill("SIGTERM")
  await broker.ended
}

/** Ends every broker that a test left. */
export async function killBrokers(): Promise<void> {
  await Promise.all(
    [...running].map(broker => {
      broker.kill("SIGKILL")
      return broker.ended
    }),
  )
}

/** A measurement's text, told apart by `value`. */
export const measurement = (value: string): string =>
  writeEvent({ type: "assay.measurement.v1", source: "kernel", subject: "", state: "present", facts: [["it", value]] })

/** The bytes of the running epoch's log, as the broker gives them. */
export async function logOf(broker: Pick<BrokerProcess, "call">): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for (let offset = 0; ; ) {
    const { log, bytes } = await broker.call("log", { offset })
    const piece = fromBase64(bytes)
    pieces.push(piece)
    offset += piece.length
    if (offset >= log.length) return new Uint8Array(Buffer.concat(pieces))
  }
}

/** A PCR's value, as tpm2_pcrread says it. */
export async function pcrRead(tpm: Swtpm, bank: string, pcr: number): Promise<string> {
  const text = await tpm.tool("tpm2_pcrread", `${bank}:${pcr}`)
  return (/0x([0-9A-F]+)/.exec(text)?.[1] ?? "").toLowerCase()
}

/** What `log` gives when jq, sha256sum's kin and a shell replay it: nothing of ours. */
export function replayByHand(tpm: Swtpm, log: string, bank: "sha256" | "sha384"): Promise<string> {
  const zero = "0".repeat(bank === "sha256" ? 64 : 96)
  const script = `v=${zero}
for d in $(jq -r '.digests[]|select(.hashAlg=="${bank}").digest' "$0"); do
  v=$(printf %s "$v$d" | tr a-f A-F | basenc --base16 -d | ${bank}sum | cut -d' ' -f1)
done; printf %s "$v"`
  return tpm.tool("sh", "-c", script, log)
}

/** The text of the running epoch's log file. */
export const logFile = (broker: BrokerProcess, resetCount: number, restartCount: number): string =>
  join(broker.state, `log-${resetCount}-${restartCount}.cel`)

export const readLog = (path: string): { content: string }[] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map(line => JSON.parse(line) as { content: string })

export const pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 23]

/** A quote and the evidence that is sealed of it, without boot logs. */
export async function attest(
  broker: Pick<BrokerProcess, "call">,
  request: Parameters<typeof broker.call<"attest">>[1],
) {
  const { ticket, log, opened } = await broker.call("attest", request)
  return { ...(await broker.call("seal", { ticket, logs: [] })), log, opened }
}

/** A report for `audience`, as the broker answers. */
export const report = (broker: BrokerProcess, audience = "collector") =>
  attest(broker, { asked: { kind: "report", after: null }, audience, made: new Date().toISOString(), pcrs })

export function payloadOf(envelope: string): Payload {
  return readPayload(fromBase64(readEnvelope(fromBase64(envelope)).payload))
}

/** The counters in a quote. */
export const clockOf = (envelope: string) => decode(quote, fromBase64(payloadOf(envelope).quote.attest)).clock

/** Verifies `envelope` with the keys that the broker's identity names. */
export async function judge(
  broker: Pick<BrokerProcess, "call">,
  envelope: string,
  asked: Asked = { kind: "nothing" },
  log?: Uint8Array,
): Promise<Outcome> {
  const { identity } = await broker.call("identity", {})
  const keys = {
    attester: identity.attester,
    ak: fromBase64(identity.akPublic),
    evidenceKey: fromBase64(identity.evidenceKey),
  }
  const logs = new Map([["assay", log ?? (await logOf(broker))]])
  return verify(
    { envelope: fromBase64(envelope), logs },
    { keys, asked, pcrs, logPcr: 23, audience: "anyone", now: Date.now() },
  )
}

/** The ids of what was found. */
export const findingsOf = (outcome: Outcome): string[] =>
  (outcome.authentic ? outcome.evidence.findings : outcome.findings).map(({ id }) => id)

export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(10)
}

/** Whether `needle` stands anywhere in `haystack`. */
export const holdsBytes = (haystack: Uint8Array, needle: Uint8Array): boolean =>
  Buffer.from(haystack).includes(Buffer.from(needle))

/** Appends a measurement, told apart by `value`. */
export const append = (broker: BrokerProcess, value: string) => broker.call("append", { event: measurement(value) })

/** The file of the running epoch's log. */
export const runningLog = async (broker: BrokerProcess): Promise<string> => {
  const { log } = await broker.call("identity", {})
  return logFile(broker, log.resetCount, log.restartCount)
}

/** What the running epoch's log says. */
export const eventsIn = async (broker: BrokerProcess): Promise<LogEvent[]> =>
  readLog(await runningLog(broker)).map(({ content }) => JSON.parse(content) as LogEvent)

/** The log replays, by coreutils, to what tpm2_pcrread says; and the verifier agrees. */
export async function expectSound(tpm: Swtpm, broker: BrokerProcess): Promise<void> {
  expect(await replayByHand(tpm, await runningLog(broker), "sha256")).toBe(await pcrRead(tpm, "sha256", 23))
  const { envelope } = await report(broker)
  expect(findingsOf(await judge(broker, envelope))).toEqual([])
}

/** Suspend to memory and back, or power off and on, as the firmware does it, under a process that goes on. */
export async function cycle(tpm: Swtpm, kind: "suspend" | "reboot"): Promise<void> {
  const how = kind === "reboot" ? ["-c"] : []
  await tpm.tool("tpm2_shutdown", ...how)
  await tpm.tool("swtpm_ioctl", "--unix", join(tpm.directory, "s.ctrl"), "-i")
  await tpm.tool("tpm2_startup", ...how)
}
