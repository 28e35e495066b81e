/**
 * Where does a test get real evidence from? A machine in miniature: swtpm for the TPM, tpm2-tools for its commands, and the
 * formats of `attestation/`. Each step can be asked to do one thing wrong; what then must be found stands in the tests.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { payloadTypes, type PayloadType, seal } from "../attestation/protocol/dsse.ts"
import { type EpochEvent, type LogEvent, type Measurement, writeEvent } from "../attestation/protocol/event.ts"
import { type Audit, type Body, type Payload, writePayload } from "../attestation/protocol/evidence.ts"
import { auditQualifyingData, qualifyingData } from "../attestation/protocol/qualifying-data.ts"
import { celRecord, readCel, writeCelLine } from "../attestation/tcg/cel.ts"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import type { CreationProof } from "../attestation/tcg/creation.ts"
import type { Expected, PinnedKeys, UntrustedEvidence } from "../attestation/verify/verify.ts"
import { sha256 } from "./foreign.ts"
import { toBase64, toHex } from "../attestation/wire/text.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

/** The log's PCR, and the PCRs that every quote here covers. */
export const logPcr = 23
export const covered = [0, 4, 7, 16, 23]
/** When all evidence here is made and verified. */
export const made = "2026-05-04T03:02:01.000Z"
export const now = Date.parse(made) + 1000

/** Where the AK and the ECC EK lie: nothing here needs a free slot for transient objects. */
export const rsaEkHandle = "0x81010001"
export const akHandle = "0x81010100"
export const ekHandle = "0x81010016"

/** AKs under the endorsement hierarchy. */
const akKinds = {
  ecc: "ecc256:ecdsa-sha256:null",
  rsa: "rsa2048:rsassa-sha256:null",
} as const

export type Machine = {
  readonly tpm: Swtpm
  readonly keys: PinnedKeys & { readonly evidenceKey: Uint8Array }
  readonly evidenceSecret: KeyObject
  readonly ekPublic: Uint8Array
  readonly creation: CreationProof
  /** bytes of a file in the TPM's folder */
  file(name: string): Uint8Array
  /** writes the event to the log and extends it */
  append(event: LogEvent): Promise<void>
  log(): Uint8Array
  /** forgets the log, as it is after a reset */
  forget(): void
  epoch(reason?: EpochEvent["reason"]): Promise<EpochEvent>
  attest(options?: Options): Promise<UntrustedEvidence>
}

/** What to ask, and what to do wrong. */
export type Options = {
  readonly kind?: "answer" | "report"
  readonly nonce?: Uint8Array
  readonly channel?: Uint8Array
  readonly secret?: Uint8Array
  readonly sequence?: bigint
  readonly previous?: string | null
  readonly chainId?: string
  readonly predecessor?: Body["chain"]["predecessor"]
  readonly log?: Uint8Array
  /** alters the body before it is quoted */
  readonly alterBody?: (body: Body) => Body
  /** alters the payload after the quote, before it is signed */
  readonly alterPayload?: (payload: Payload) => Payload
  readonly quoted?: { readonly pcrs?: readonly number[]; readonly bank?: string; readonly qualifyingData?: Uint8Array }
  /** states command audit after the quote; over other qualifying data than the evidence's */
  readonly audited?: boolean
  readonly auditedOver?: Uint8Array
  /** what happens between quote and audit */
  readonly beforeAudit?: () => Promise<unknown>
  /** which TPM quotes, if not the machine's own */
  readonly quoteBy?: Swtpm
  readonly signAs?: { readonly publicKey: Uint8Array; readonly secret: KeyObject }
  readonly payloadType?: PayloadType
}

export type Asked = { readonly nonce: Uint8Array; readonly channel: Uint8Array; readonly chainId: string }
/** What is asked where a test does not say. */
export const asked: Asked = {
  nonce: randomBytes(32),
  channel: randomBytes(32),
  chainId: randomBytes(16).toString("hex"),
}

/** What a verifier expects of `machine` when it asked {@link asked}. */
export const expectedOf = (machine: Machine): Expected => ({
  keys: machine.keys,
  asked: { kind: "nonce", nonce: asked.nonce, channel: asked.channel, credential: new Uint8Array(0) },
  pcrs: [0, 7, 23],
  logPcr: 23,
  audience: "anyone",
  now,
})

export const measurement = (subject: string, facts: Measurement["facts"] = [["sha256", "aa"]]): Measurement => ({
  type: "assay.measurement.v1",
  source: "runtime",
  subject,
  state: "present",
  facts,
})

/** A TPM with an AK and an evidence key. */
export async function startMachine(ak: keyof typeof akKinds = "ecc", identity = "first"): Promise<Machine> {
  const tpm = await startSwtpm({ identity })
  const file = (name: string): Uint8Array => new Uint8Array(readFileSync(join(tpm.directory, name)))
  await makeAk(tpm, akKinds[ak])
  await tpm.tool("tpm2_readpublic", "-Q", "-c", ekHandle, "-o", "ek.pub")
  const ekPublic = file("ek.pub").subarray(2)
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  const evidenceKey = rawKey(publicKey)
  const akPublic = file("ak.pub").subarray(2)
  const keys = { attester: toHex(nameOf(readPublic(ekPublic))), ak: akPublic, evidenceKey }
  const creation = { data: file("creation.data"), attest: file("certify.attest"), signature: file("certify.sig") }
  let lines: Uint8Array[] = []
  const log = (): Uint8Array => new Uint8Array(Buffer.concat(lines))
  const machine: Machine = {
    tpm,
    keys,
    evidenceSecret: privateKey,
    ekPublic,
    creation,
    file,
    log,
    forget: () => (lines = []),
    async append(event) {
      const record = celRecord(readCel(log()).length, logPcr, ["sha256", "sha384"], writeEvent(event))
      const digests = record.digests.map(each => `${each.hashAlg}=${each.digest}`).join(",")
      lines.push(writeCelLine(record))
      await tpm.tool("tpm2_pcrextend", `${logPcr}:${digests}`)
    },
    epoch: async (reason = "join") => ({
      type: "assay.epoch.v1",
      reason,
      ...(await counters(tpm)),
      boot: "b",
      previous: null,
    }),
    attest: (options = {}) => attest(machine, options),
  }
  await machine.append(await machine.epoch())
  return machine
}

const rawKey = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ format: "der", type: "spki" }).subarray(-32))

/** An AK (`ak.pub`, `ak.name`) with its creation data and the certification of it, all as files. */
async function makeAk(tpm: Swtpm, algorithm: string): Promise<void> {
  const attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign"
  const files = ["-c", "ak.ctx", "--creation-data", "creation.data", "-d", "creation.hash", "-t", "creation.ticket"]
  await tpm.tool("tpm2_createprimary", "-Q", "-C", "e", "-g", "sha256", "-G", algorithm, "-a", attributes, ...files)
  await tpm.tool("tpm2_flushcontext", "-t")
  await tpm.tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "ak.ctx", akHandle)
  await tpm.tool("tpm2_flushcontext", "-t")
  await tpm.tool("tpm2_readpublic", "-Q", "-c", akHandle, "-o", "ak.pub", "-n", "ak.name")
  await tpm.tool("tpm2_readpublic", "-Q", "-c", akHandle, "-o", "ak.pem", "-f", "pem")
  const keys = ["-C", akHandle, "-c", akHandle, "-d", "creation.hash", "-t", "creation.ticket", "-g", "sha256"]
  await tpm.tool("tpm2_certifycreation", ...keys, "-o", "certify.sig", "--attestation", "certify.attest")
  // tpm2-tools write TPM2B_CREATION_DATA; what is hashed is what it holds
  const creation = new Uint8Array(readFileSync(join(tpm.directory, "creation.data")))
  if (creation[0] === 0 && creation.length === 2 + (creation[1] ?? 0))
    writeFileSync(join(tpm.directory, "creation.data"), creation.subarray(2))
}

/** resetCount and restartCount, as the TPM's own tool reads them. */
async function counters(tpm: Swtpm): Promise<{ resetCount: number; restartCount: number }> {
  const clock = await tpm.tool("tpm2_readclock")
  const read = (name: string): number => Number(new RegExp(`${name}: ([0-9]+)`).exec(clock)?.[1])
  return { resetCount: read("reset_count"), restartCount: read("restart_count") }
}

async function attest(machine: Machine, options: Options): Promise<UntrustedEvidence> {
  const log = options.log ?? machine.log()
  const body = (options.alterBody ?? (same => same))(bodyOf(machine, log, options))
  const bound = options.quoted?.qualifyingData ?? qualifyingData(body, options.secret ?? new Uint8Array(0))
  const payload = (options.alterPayload ?? (same => same))({
    body,
    quote: await quote(options.quoteBy ?? machine.tpm, bound, options),
  })
  const { publicKey, secret } = options.signAs ?? {
    publicKey: machine.keys.evidenceKey,
    secret: machine.evidenceSecret,
  }
  return sealed(writePayload(payload), publicKey, secret, log, options.payloadType)
}

/** An envelope over any bytes, with a log. */
export function sealed(
  payload: Uint8Array,
  publicKey: Uint8Array,
  secret: KeyObject,
  log: Uint8Array,
  type: PayloadType = payloadTypes.evidence,
): UntrustedEvidence {
  const envelope = seal(type, payload, publicKey, message => sign(null, message, secret))
  return { envelope, logs: new Map([["assay", log]]) }
}

function bodyOf(machine: Machine, log: Uint8Array, options: Options): Body {
  const common = {
    attester: machine.keys.attester,
    ak: toHex(nameOf(readPublic(machine.keys.ak))),
    evidenceKey: toBase64(options.signAs?.publicKey ?? machine.keys.evidenceKey),
    audience: "collector",
    chain: {
      id: options.chainId ?? asked.chainId,
      sequence: String(options.sequence ?? 1n),
      previous: options.previous ?? null,
      predecessor: options.predecessor ?? null,
    },
    made,
    boot: "b",
    selection: { bank: "sha256" as const, pcrs: covered },
    logPcr,
    logs: [{ name: "assay", length: log.length, digest: sha256(log) }],
  }
  if (options.kind === "report") return { kind: "report", ...common, after: null }
  const nonce = toBase64(options.nonce ?? asked.nonce)
  const channel = toBase64(options.channel ?? asked.channel)
  return { kind: "answer", ...common, nonce, channel, credential: options.secret ? "recovered" : "none" }
}

/** TPM2_Quote by tpm2_quote, and the values by tpm2_pcrread. */
async function quote(tpm: Swtpm, bound: Uint8Array, options: Options): Promise<Payload["quote"]> {
  const { quoted } = options
  const indices = (quoted?.pcrs ?? covered).join(",")
  const selection = `${quoted?.bank ?? "sha256"}:${indices}`
  await tpm.tool("tpm2_pcrread", "-Q", `sha256:${indices}`, "-o", "pcrs.bin")
  const files = ["-m", "quote.attest", "-s", "quote.sig"]
  await tpm.tool("tpm2_quote", "-Q", "-c", akHandle, "-l", selection, "-q", toHex(bound), "-g", "sha256", ...files)
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(tpm.directory, name)))
  const values = read("pcrs.bin")
  const pcrs = (quoted?.pcrs ?? covered).map((pcr, i): [number, string] => [
    pcr,
    toHex(values.subarray(32 * i, 32 * i + 32)),
  ])
  const attest = toBase64(read("quote.attest"))
  await options.beforeAudit?.()
  return {
    attest,
    signature: toBase64(read("quote.sig")),
    pcrs,
    logs: [],
    audit: await auditBy(tpm, read("quote.attest"), options),
  }
}

/** TPM2_PCR_Reset under command audit, as its owner arms it; then what the arming left in the digest is read away. */
export async function armAudit({ tpm }: Machine): Promise<void> {
  await tpm.tool("tpm2_setcommandauditstatus", "0x13d")
  await tpm.tool("tpm2_getcommandauditdigest", "-c", akHandle, "-g", "sha256", "-m", "audit.attest", "-s", "audit.sig")
}

/** Command audit as tpm2_getcommandauditdigest states it, or null where a test does not want it. */
export async function auditBy(
  tpm: Swtpm,
  quoted: Uint8Array,
  { kind = "answer", nonce = asked.nonce, audited = false, auditedOver }: Options,
): Promise<Audit | null> {
  if (!audited) return null
  const bound = auditedOver ?? auditQualifyingData(kind === "answer" ? nonce : new Uint8Array(0), quoted)
  const files = ["-m", "audit.attest", "-s", "audit.sig"]
  await tpm.tool("tpm2_getcommandauditdigest", "-c", akHandle, "-q", toHex(bound), "-g", "sha256", ...files)
  const read = (name: string): string => toBase64(new Uint8Array(readFileSync(join(tpm.directory, name))))
  return { commands: [0x13d, 0x140], attest: read("audit.attest"), signature: read("audit.sig") }
}
