/**
 * How are the broker's verbs carried out? One after another, on the one TPM that this process alone opens. A TPM that does
 * not answer ends the broker: every call that waits is told so, and the supervisor starts it anew. The process: `main.ts`.
 */
import { readFile } from "node:fs/promises"
import type { Handlers } from "../../local/call.ts"
import { openTpm, type Tpm } from "../../node-tpm2/index.ts"
import { hashIdentifiers, type HashAlgorithm } from "../../attestation/tcg/algorithm.ts"
import { readEvent } from "../../attestation/protocol/event.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { fromBase64, plainLine, toBase64 } from "../../attestation/wire/text.ts"
import { auditForJoining } from "./audit.ts"
import { Chains } from "./chain.ts"
import { followEpoch, type Parts, pcrsOf, quoteFor, sign } from "./evidence.ts"
import { openEvidenceKey } from "./evidence-key.ts"
import { Fault, faultOf, LastingFault } from "./fault.ts"
import { certificateIn } from "./ek-certificate.ts"
import { TpmIdentity } from "./identity.ts"
import { flushLeftovers } from "./leftovers.ts"
import { MeasuredLog } from "./measured-log.ts"
import { SerialQueue } from "./queue.ts"
import { openState } from "./state.ts"
import { UnsignedQuotes } from "./unsigned.ts"
import type { verbs } from "./verbs.ts"

export type BrokerSettings = {
  /** directory of what must outlive the broker */
  readonly state: string
  /** `device:/dev/tpmrm0`, or with `softwareTpm` a swtpm */
  readonly tcti: string
  readonly softwareTpm: boolean
  /** a file with the EK's certificate for a TPM that holds none, or "" */
  readonly ekCertificate: string
  /** the PCR that holds our log */
  readonly pcr: number
  /** milliseconds that one TPM command may take; computing an EK may take longer */
  readonly deadline: number
}

export type Broker = {
  readonly handlers: Handlers<typeof verbs>
  /** Resolves, if ever, when the TPM is lost; calls fail from then on, and the process must end. */
  readonly lost: Promise<Fault>
  /** Whether a TPM command still runs that cannot be cancelled. */
  readonly hung: () => boolean
  /** Finishes the command in flight, refuses what waits, lets the TPM go. */
  stop(): Promise<void>
}

/** Milliseconds in which any TPM has computed an RSA key. */
const keyDeadline = 120_000

/** Bytes that the verb `log` gives at once. */
const logPiece = 1 << 19

const lostHint = "the broker ends and is started anew; if it repeats, power the machine off and on"

/** Opens TPM, keys and log. Throws Fault or TpmError, each with a hint. */
export async function openBroker(settings: BrokerSettings): Promise<Broker> {
  const options = { deadline: settings.deadline, allowSoftware: settings.softwareTpm }
  if (settings.tcti.startsWith("swtpm:")) await flushLeftovers(settings.tcti, options)
  const tpm = await openTpm(settings.tcti, options)
  try {
    const parts = await openParts(tpm, settings)
    return serve(parts, await describe(tpm, parts, settings))
  } catch (error) {
    await tpm.close()
    throw error
  }
}

async function openParts(tpm: Tpm, settings: BrokerSettings): Promise<Parts & { readonly banks: HashAlgorithm[] }> {
  const { pcr } = settings
  const state = await openState(settings.state)
  const boot = await bootId()
  const banks = await activeBanks(tpm, pcr)
  const key = await openEvidenceKey(tpm, state)
  const patiently = patientAccess(settings)
  const certificate = await certificateIn(settings.ekCertificate)
  const identity = await TpmIdentity.open({ tpm, state, patiently, certificate })
  const log = await MeasuredLog.open({ tpm, state, pcr, banks, boot })
  const chains = await Chains.open(state)
  return { tpm, identity, key, log, chains, logPcr: pcr, boot, banks }
}

async function bootId(): Promise<string> {
  const path = "/proc/sys/kernel/random/boot_id"
  try {
    return (await readFile(path, "utf8")).trim()
  } catch (error) {
    throw new LastingFault(`cannot read ${path}: ${String(error)}`, "let the broker's unit see it: ProcSubset=all")
  }
}

/** A second connection for what may take long. */
function patientAccess({ tcti, softwareTpm, deadline }: BrokerSettings) {
  return async <T>(use: (tpm: Tpm) => Promise<T>): Promise<T> => {
    const patient = await openTpm(tcti, { deadline: Math.max(deadline, keyDeadline), allowSoftware: softwareTpm })
    try {
      return await use(patient)
    } finally {
      await patient.close()
    }
  }
}

async function activeBanks(tpm: Tpm, pcr: number): Promise<HashAlgorithm[]> {
  const active = (await tpm.banks()).filter(({ pcrs }) => pcrs.includes(pcr)).map(({ bank }) => bank)
  const banks = active.filter((bank): bank is HashAlgorithm => Object.hasOwn(hashIdentifiers, bank))
  if (banks.includes("sha256")) return banks
  throw new LastingFault(
    `the TPM's sha256 bank is not active for PCR ${pcr}`,
    "switch it on in the firmware's settings, or with tpm2_pcrallocate sha256:all and a reboot",
  )
}

type Description = Pick<Awaited<ReturnType<Handlers<typeof verbs>["identity"]>>, "custody" | "tpm" | "banks">

async function describe(tpm: Tpm, parts: { banks: string[] }, settings: BrokerSettings): Promise<Description> {
  const { manufacturer, vendor, firmwareVersion } = await tpm.identity()
  const software = settings.softwareTpm || /^SW\b/.test(vendor)
  const firmware = firmwareVersion.toString(16).padStart(16, "0")
  const about = { manufacturer: plainLine(manufacturer, 16), vendor: plainLine(vendor, 64), firmware, software }
  return { custody: "TPM-sealed", tpm: about, banks: parts.banks }
}

function serve(parts: Parts, description: Description): Broker {
  const { tpm, identity, key, log } = parts
  const queue = new SerialQueue()
  const { promise: lost, resolve: declareLost } = Promise.withResolvers<Fault>()
  let hung = false

  const inTurn = <T>(work: () => Promise<T>): Promise<T> =>
    queue.run(async () => {
      try {
        return await work()
      } catch (error) {
        hung ||= tpm.hung || (error instanceof Error && "code" in error && error.code === "TPM_HUNG")
        if (tpm.usable && !hung) throw faultOf(error)
        const fault = new Fault(`the TPM is lost: ${faultOf(error).message}`, lostHint)
        void queue.close(fault)
        declareLost(fault)
        throw fault
      }
    })

  return {
    lost,
    hung: () => hung,
    handlers: handlersFor(parts, description, inTurn),
    async stop() {
      await queue.close(new Fault("the broker is being stopped", "ask again when it runs again"))
      key.wipe()
      await log.close()
      if (tpm.usable) await tpm.flush(identity.ak).catch(() => undefined)
      await tpm.close()
    },
  }
}

type InTurn = <T>(work: () => Promise<T>) => Promise<T>

function handlersFor(parts: Parts, description: Description, inTurn: InTurn): Handlers<typeof verbs> {
  const { identity, key, log } = parts
  const unsigned = new UnsignedQuotes()
  return {
    identity: () =>
      inTurn(async () => ({
        identity: { ...identity.wire, evidenceKey: toBase64(key.publicKey) },
        ak: identity.akName,
        ...description,
        log: log.state,
      })),
    append: ({ event }) =>
      inTurn(async () => {
        requireMeasurement(event)
        const opened = await followEpoch(parts)
        await log.append(event)
        return { log: log.state, opened }
      }),
    attest: request =>
      inTurn(async () => {
        const made = await quoteFor(parts, request)
        const ticket = unsigned.keep(request.audience, made)
        return { ticket, pcrs: pcrsOf(made), log: made.log, opened: made.opened }
      }),
    seal: ({ ticket, logs }) => inTurn(() => sign(parts, unsigned.take(ticket), logs)),
    activate: ({ credential: { idObject, encryptedSecret } }) =>
      inTurn(async () => {
        const secret = await identity.activate(fromBase64(idObject), fromBase64(encryptedSecret))
        return { secret: toBase64(secret) }
      }),
    audit: ({ secret }) =>
      inTurn(async () => {
        await followEpoch(parts)
        return { audit: await auditForJoining(parts.tpm, identity.ak, fromBase64(secret)) }
      }),
    rotate: ({ to }) =>
      inTurn(async () => {
        await identity.rotate(to)
        return { ak: identity.akName }
      }),
    log: ({ offset }) =>
      inTurn(async () => {
        await followEpoch(parts) // or a caller who finds nothing to append would learn of a resume by its evidence only
        return { log: log.state, bytes: toBase64(await log.read(offset, logPiece)) }
      }),
  }
}

/** Epoch records are the broker's own: they come from the TPM's counters. */
function requireMeasurement(event: string): void {
  try {
    if (readEvent(event).type !== "assay.epoch.v1") return
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Fault(error.message, "bring agent and broker to one version")
  }
  throw new Fault("only the broker writes epoch records", "bring agent and broker to one version")
}
