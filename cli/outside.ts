/**
 * Does that machine, now, hold what it says? An outside verifier's question: its own nonce and its own credential for the EK
 * and AK that it was told of, so that the answer needs no collector's word. The relay carries it: `relay.ts`.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { whyUnfit } from "../collector/enrol.ts"
import { nameOf, type PublicArea, readPublic } from "../attestation/tcg/public.ts"
import { type Chance, makeCredential } from "../attestation/tcg/credential.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import type { Identity, ToVerifier } from "../attestation/protocol/message.ts"
import { readBetween } from "../attestation/verify/full-reading.ts"
import { type Finding, finding } from "../attestation/verify/finding.ts"
import { type Asked, type UntrustedEvidence, verify } from "../attestation/verify/verify.ts"
import { fromBase64, toBase64, toHex } from "../attestation/wire/text.ts"
import { readBounded, readPublicFile, writeBundle } from "./bundle.ts"
import { type Exit, Problem } from "./exit.ts"
import type { Shown } from "../channel/dial.ts"
import { openRelay, type Place, type Relay } from "./relay.ts"
import { plain, remark, type Terminal, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"
import { exitOf, forScripts, judge, type Judged, readReferenceFile, writeJudged } from "./verify.ts"

/** What an outside verifier says on the command line. */
export type Given = {
  /** Name of the EK */
  readonly attester: string
  /** who told that name, other than the collector */
  readonly knownFrom: string | undefined
  /** the invitation to a collector's relay; or the verifier's own key, for an agent's own door */
  readonly by: { readonly tokenFile: string } | { readonly keyFile: string }
  readonly collector: Pick<Place, "host" | "port"> | undefined
  readonly proxy: Place["proxy"]
  readonly pin: string | undefined
  readonly ak: string | undefined
  readonly depth: "quick" | "full"
  readonly pcrs: readonly number[]
  readonly logPcr: number
  readonly reference: string | undefined
  readonly out: string | undefined
  /** seconds */
  readonly deadline: number
  readonly strict: boolean
  readonly json: boolean
}

/** Asks, verifies, shows. */
export async function askOutside(options: Given, terminal: Terminal): Promise<Exit> {
  const { place, token, shown } = await admission(options)
  const pinnedAk = options.ak === undefined ? undefined : await readPublicFile(options.ak)
  const reference = await readReferenceFile(options.reference)
  const relay = await openRelay(place, options.deadline * 1000, shown)
  try {
    const told = await whoIs(relay, token, options.attester)
    const unfit = whyNotToAsk(told.identity, options.attester)
    if (unfit.length > 0) return conclude(refusal(unfit), told, options, terminal)
    const asked = question(terminal.now(), token === null ? relay.binding : "not checkable")
    const untrusted = await answerTo(relay, token, asked, told.identity, options)
    if (options.out !== undefined) await keep(options.out, untrusted, told.identity, asked, terminal)
    const ak = pinnedAk ?? fromBase64(told.identity.akPublic)
    const keys = { attester: options.attester, ak, evidenceKey: "as quoted" } as const
    const { pcrs, logPcr } = options
    const outcome = verify(untrusted, { keys, asked, pcrs, logPcr, audience: "anyone", now: terminal.now() })
    const appraisal = outcome.authentic
      ? judge(outcome.evidence, { reference, approvals: "ungoverned" }, [
          ...circumstancesOf(options),
          ...(options.depth === "full" ? readBetween(asked.nonce, outcome.evidence.events) : []),
        ])
      : undefined
    return conclude({ outcome, appraisal, reference, asked, attesterPinned: true }, told, options, terminal)
  } finally {
    relay.close()
  }
}

const refusal = (findings: readonly Finding[]): Judged => ({
  outcome: { authentic: false, findings },
  appraisal: undefined,
  reference: "none recorded",
  asked: { kind: "nothing" },
  attesterPinned: true,
})

function conclude(judged: Judged, { endorsement }: Told, { json, strict }: Given, terminal: Terminal): Exit {
  if (json) writeJsonLine(terminal, { ...forScripts(judged), collectorSays: { endorsement } })
  else {
    writeJudged(terminal.out, judged)
    terminal.out.write("\n")
    row(terminal.out, "told", `of the TPM, by whom you asked: ${plain(endorsement)}`)
  }
  return exitOf(judged, strict)
}

type Told = ToVerifier & { type: "identity" }

async function whoIs(relay: Relay, token: Uint8Array | null, attester: string): Promise<Told> {
  relay.say({ type: "who", token: token && toBase64(token), attester })
  const told = await relay.hear()
  if (told.type === "identity") return told
  throw notAnswered(told)
}

/** Why this identity cannot be asked anything: another machine's, or keys that prove nothing (M17). */
function whyNotToAsk(identity: Identity, attester: string): Finding[] {
  if (identity.attester !== attester) return [finding("evidence.attester", "identity", identity.attester, attester)]
  return whyUnfit(identity).map(fault => finding("ak.unfit", "identity", fault, "an EK and an AK of one TPM"))
}

type Question = Extract<Asked, { kind: "nonce" }>

const question = (issued: number, channel: Question["channel"]): Question => ({
  kind: "nonce",
  issued,
  nonce: new Uint8Array(randomBytes(32)),
  channel,
  credential: new Uint8Array(randomBytes(32)),
})

async function answerTo(
  relay: Relay,
  token: Uint8Array | null,
  asked: Question,
  { attester, ekPublic, akPublic }: Identity,
  { depth }: Given,
): Promise<UntrustedEvidence> {
  const ek = readPublic(fromBase64(ekPublic))
  const akName = nameOf(readPublic(fromBase64(akPublic)))
  const made = makeCredential(ek, akName, asked.credential, chanceFor(ek))
  const credential = { idObject: toBase64(made.idObject), encryptedSecret: toBase64(made.encryptedSecret) }
  relay.say({ type: "ask", token: token && toBase64(token), attester, nonce: toBase64(asked.nonce), depth, credential })
  const said = await relay.hear()
  if (said.type !== "evidence") throw notAnswered(said)
  const { envelope, logs } = await relay.receive(said)
  const whole = logs.filter(log => log.offset === 0)
  return { envelope, logs: new Map(whole.map(({ name, bytes }) => [name, bytes])) }
}

function notAnswered(said: ToVerifier): Problem {
  if (said.type === "declined")
    return new Problem("later", `declined: ${said.reason}`, "is the machine on, and its agent connected?")
  if (said.type === "goodbye")
    return new Problem(
      "failed",
      `the collector refused: ${said.reason}`,
      "ask its operator for a verifier's invitation",
    )
  return new Problem("failed", `the collector answered with ${said.type}`, "compare both sides' versions")
}

/** M16: a name that only the collector told is the collector's word. */
function circumstancesOf({ knownFrom, attester }: Given): Finding[] {
  if (knownFrom !== undefined) return []
  return [finding("machine.collectors-word", "attester", attester, "a name that you know from elsewhere: --known-from")]
}

function chanceFor(ek: PublicArea): Chance {
  if (ek.kind === "rsa") return { kind: "rsa", seed: randomBytes(64), mask: randomBytes(64) }
  const namedCurve = { p256: "P-256", p384: "P-384", p521: "P-521" }[ek.curve]
  const { privateKey } = generateKeyPairSync("ec", { namedCurve })
  return { kind: "ecc", ephemeral: new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" })) }
}

type Admission = { readonly place: Place; readonly token: Uint8Array | null; readonly shown: Shown | undefined }

/** An invitation's place and token; or, for an agent's own door, the key by which it knows this verifier. */
async function admission({ by, ...where }: Given): Promise<Admission> {
  const { collector, pin, proxy } = where
  if ("tokenFile" in by) return { ...(await readTokenFile(by.tokenFile, where)), shown: undefined }
  if (!collector || pin === undefined) {
    const hint = "give --collector and --pin: the agent's log shows both"
    throw new Problem("misuse", "where the agent listens, and its pin, are not said", hint)
  }
  const text = Buffer.from(await readBounded(by.keyFile, 1 << 16)).toString("latin1")
  if (text.includes("PRIVATE KEY-----") && text.includes("BEGIN CERTIFICATE-----"))
    return { place: { ...collector, proxy, pin: readPin(pin) }, token: null, shown: { key: text, cert: text } }
  const hint = "put both into one file: openssl req -x509 -newkey makes them"
  throw new Problem("misuse", `${by.keyFile} does not hold a private key and its certificate`, hint)
}

/** What the file holds: an invitation, or its token alone. */
async function readTokenFile(
  tokenFile: string,
  { collector, pin, proxy }: Pick<Given, "collector" | "pin" | "proxy">,
): Promise<{ place: Place; token: Uint8Array }> {
  const line = Buffer.from(await readBounded(tokenFile, 4096))
    .toString("latin1")
    .trim()
  if (line.startsWith("assay1:")) {
    const { token, ...place } = readInvitation(line)
    return { place: { ...place, proxy, ...collector, ...(pin === undefined ? {} : { pin: readPin(pin) }) }, token }
  }
  const token = bytes32(line)
  if (!token) throw new Problem("misuse", `${tokenFile} holds no invitation`, "it is one line that begins with assay1:")
  if (!collector || pin === undefined)
    throw new Problem("misuse", "where the collector is, and its pin, are not said", "give --collector and --pin")
  return { place: { ...collector, proxy, pin: readPin(pin) }, token }
}

function readPin(given: string): Uint8Array {
  const pin = /^[0-9a-fA-F]{64}$/.test(given) ? new Uint8Array(Buffer.from(given, "hex")) : bytes32(given)
  if (pin) return pin
  throw new Problem("misuse", "--pin: no SHA-256 in hexadecimal or base64url", "assay status on the collector shows it")
}

function bytes32(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Buffer.from(text, "base64url"))
  return bytes.length === 32 && Buffer.from(bytes).toString("base64url") === text ? bytes : undefined
}

/** Everything with which this can be judged again: see the line that is printed. */
async function keep(
  folder: string,
  untrusted: UntrustedEvidence,
  identity: Identity,
  { nonce, credential }: Question,
  terminal: Terminal,
): Promise<void> {
  await writeBundle(folder, untrusted, identity)
  const asked = { attester: identity.attester, nonce: toHex(nonce), secret: toHex(credential), at: terminal.now() }
  await writeFile(join(folder, "asked.json"), `${JSON.stringify(asked)}\n`)
  const again = `assay verify ${folder} --ak ${join(folder, "ak.pub")} --nonce ${asked.nonce} --secret ${asked.secret}`
  remark(terminal, `kept; to judge it again: ${again}`)
}
