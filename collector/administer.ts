/** How is what an operator asks carried out? One function a verb; what each takes and gives is in `verbs.ts`. */
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import { readResult, type Result } from "../attestation/appraise/result.ts"
import { cleared, shownAt } from "../attestation/appraise/state.ts"
import { withQuotedFirmware } from "../attestation/appraise/tpm-firmware.ts"
import {
  mostFiles,
  propose,
  type Proven,
  provenOf,
  readReference,
  type Reference,
  referenceDigest,
  writeReference,
} from "../attestation/pins/reference.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { type BootLog, readPayload } from "../attestation/protocol/evidence.ts"
import { writeInvitation } from "../attestation/protocol/invitation.ts"
import { bootMeasurements } from "../attestation/verify/boot-lines.ts"
import type { Platform } from "../attestation/verify/boot-logs.ts"
import { filesOf } from "../attestation/verify/ima-files.ts"
import { CallFailed, type Handlers } from "../local/call.ts"
import type { Ended } from "./challenge.ts"
import type { Verifier } from "./conclude.ts"
import { spoken } from "../attestation/appraise/endorsement.ts"
import { administerApproval } from "./administer-approval.ts"
import { administerSecrets } from "./administer-secrets.ts"
import { administerTrust, retire } from "./administer-trust.ts"
import { inForce } from "./endorse.ts"
import { newInvitation } from "./enrol.ts"
import type { Parts } from "./parts.ts"
import { reexamine } from "./reexamine.ts"
import { shortFindings } from "./shorten.ts"
import type { Archived, Row } from "./store.ts"
import type { TlsKeys } from "./tls.ts"
import type { CollectorVerbs, Shown } from "./verbs.ts"

/** What the connections share, and what only the collector itself knows. */
export type Office = {
  readonly parts: Parts
  readonly verifier: Verifier
  readonly tls: TlsKeys
  /** where invitations lead to */
  readonly host: string
  readonly port: number
  readonly started: number
}
type Handler = Handlers<CollectorVerbs>
type Answer<K extends keyof Handler> = Awaited<ReturnType<Handler[K]>>
type Request<K extends keyof Handler> = Parameters<Handler[K]>[0]

export const administer = (office: Office): Handler => ({
  identity: () => identify(office),
  invite: request => invite(office, request),
  revoke: async ({ id, by }) => ({ revoked: await office.parts.store.revoke(id, by, office.parts.now()) }),
  ...administerTrust(office),
  ...administerApproval(office),
  ...administerSecrets(office, async text => (await the(office, text)).attester),
  attesters: request => list(office, request),
  status: async ({ attester }) => status(office, await the(office, attester)),
  challenge: async ({ attester, depth }) => challenge(office, (await the(office, attester)).attester, depth),
  export: request => exported(office, request),
  log: request => logOf(office, request),
  "boot-log": request => bootLogOf(office, request),
  "reference-record": request => record(office, request),
  "reference-show": async ({ attester, offset }) =>
    showReference(office, (await the(office, attester)).attester, offset),
  retire: async ({ attester, by, reason }) => retire(office, (await the(office, attester)).attester, { by, reason }),
  clear: async ({ attester, by, reason }) => clear(office, (await the(office, attester)).attester, by, reason),
})

const pieceLimit = 1 << 20
const pageLimit = 200
const instantOf = (time: number): string => new Date(time).toISOString()

/** The one attester that `text` names. */
async function the({ parts: { store } }: Office, text: string): Promise<Row> {
  const [found, another] = await store.find(text)
  if (!found) throw new CallFailed("no attester of this name is enrolled", "list them with: assay attesters")
  if (another) throw new CallFailed("several attesters fit this name", "give more of the attester's name")
  return found
}

async function identify({ parts, verifier, tls, host, port, started }: Office): Promise<Answer<"identity">> {
  const { version, build, key } = verifier
  const attesters = await parts.store.count()
  const connected = parts.fleet.size
  return {
    ...{ version, build, name: parts.config.name, pin: toBase64(tls.pin()), resultKey: toBase64(key.publicKey) },
    ...{ host, port, started: instantOf(started), attesters, connected },
  }
}

async function invite(
  { parts: { store, now, config, say }, tls, host, port }: Office,
  { by, purpose, name, lifetimeSeconds, accept }: Request<"invite">,
): Promise<Answer<"invite">> {
  if (purpose === "verifier" && accept)
    throw new CallFailed("an outside verifier has no EK to accept", "leave the acceptance out")
  const issued = now()
  const expires = issued + (lifetimeSeconds ?? config.invitation.lifetime) * 1000
  const { invitation, token } = newInvitation({ purpose, name, by, issued, expires, accept })
  await store.invite(invitation)
  say(`${by} invited the ${purpose} ${name}, until ${instantOf(expires)}`)
  return {
    id: invitation.id,
    invitation: writeInvitation({ host, port, pin: tls.pin(), token }),
    expires: instantOf(expires),
  }
}

async function list(office: Office, { after }: Request<"attesters">): Promise<Answer<"attesters">> {
  const rows = await office.parts.store.attesters(after, pageLimit)
  const attesters = await Promise.all(rows.map(row => shown(office, row)))
  return { attesters, next: rows.length < pageLimit ? null : (rows.at(-1)?.attester ?? null) }
}

/** Stale is computed now. Nothing that was fresh before this start counts as fresh (M10). */
async function shown({ parts, started }: Office, { attester, label }: Row): Promise<Shown> {
  const standing = await parts.store.standing(attester)
  const { state, stale } = shownAt(standing, parts.now(), parts.config.challenge.stale * 1000)
  const { fresh } = standing
  const enrolment = await parts.store.enrolment(attester)
  const endorsement = await inForce(parts.store, enrolment?.endorsement ?? { kind: "unendorsed" })
  return {
    ...{ attester, label, state, stale: stale || fresh === null || fresh < started },
    ...{ fresh: fresh === null ? null : instantOf(fresh), connected: parts.fleet.get(attester) !== undefined },
    ...{ retired: (await parts.store.retirement(attester)) !== undefined, endorsement: spoken(endorsement) },
  }
}

async function status(office: Office, row: Row): Promise<Answer<"status">> {
  const { store } = office.parts
  const { attester } = row
  const enrolment = await store.enrolment(attester)
  if (!enrolment) throw new CallFailed("no attester of this name is enrolled", "list them with: assay attesters")
  const { number, at, ak } = enrolment
  const endorsement = await inForce(store, enrolment.endorsement)
  const retirement = await store.retirement(attester)
  const aliases = (await store.aliases(attester)).flatMap(each => [each.attester, each.alias])
  const newest = await store.newest(attester, "timely")
  const reference = await referenceOf(office, attester)
  const incidents = await store.incidents(attester, 20)
  const gaps = await store.gaps(attester, 64)
  return {
    standing: await shown(office, row),
    enrolled: { number, at: instantOf(at), ak, evidenceKey: enrolment.identity.evidenceKey, endorsement },
    retired: retirement ? { at: instantOf(retirement.at), by: retirement.by, reason: retirement.reason } : null,
    aliases: [...new Set(aliases)].filter(each => each !== attester).slice(0, 16),
    answer: newest ? answered(newest) : null,
    incidents: incidents.map(({ at, kind, evidence, findings, says }) => ({
      ...{ at: instantOf(at), kind, evidence, findings: shortFindings(findings), says },
    })),
    gaps: gaps.map(gap => ({ ...gap, opened: instantOf(gap.opened) })),
    reference: reference ? referenceDigest(reference) : null,
  }
}

function answered({ digest, asked, received, tier, result }: Archived): Answer<"status">["answer"] {
  const { components, findings, reference, authority, cause } = resultIn(result)
  return {
    ...{ evidence: digest, asked: instantOf(asked ?? received), received: instantOf(received), tier, reference },
    ...{ authority, cause },
    ...{ says: components.map(({ name, tier, says }) => ({ name, tier, says })), findings: shortFindings(findings) },
  }
}

const resultIn = (envelope: Uint8Array): Result => readResult(fromBase64(readEnvelope(envelope).payload))

async function challenge({ parts }: Office, attester: string, depth: "quick" | "full"): Promise<Answer<"challenge">> {
  const session = parts.fleet.get(attester)
  if (!session)
    return { kind: "unanswered", attester, reason: "this attester is not connected, or has not answered since it is" }
  return answerOf(
    attester,
    await session.ask({ by: "collector", audience: parts.config.name, depth, hashed: "nothing" }),
  )
}

function answerOf(attester: string, ended: Ended): Answer<"challenge"> {
  if (ended.kind === "delivered") throw new Error("evidence for the collector itself was not judged")
  if (ended.kind !== "judged") return { kind: "unanswered", attester, reason: ended.reason }
  const { judged } = ended
  if (judged.kind === "refused") return { kind: "refused", attester, findings: shortFindings(judged.findings) }
  const { evidence, tier, findings, result } = judged
  return { kind: "judged", attester, evidence, tier, findings: shortFindings(findings), result: toBase64(result) }
}

async function exported(office: Office, { attester, evidence }: Request<"export">): Promise<Answer<"export">> {
  const { store } = office.parts
  const own = (await the(office, attester)).attester
  const found = await whichEvidence(office, own, evidence)
  const enrolment = found && (await store.enrolmentNumber(own, found.enrolment))
  if (!found || !enrolment || found.attester !== own)
    throw new CallFailed("there is no such evidence of this attester", "ask it now with: assay challenge")
  const { digest, envelope, result, log, received } = found
  const { identity, endorsement } = enrolment
  return {
    ...{ evidence: digest, envelope: toBase64(envelope), result: toBase64(result) },
    ...{ identity, endorsement, log, received: instantOf(received) },
    bootLogs: bootLogsIn(envelope).map(({ name }) => name),
  }
}

/** The boot logs that kept evidence names, of those that were there. */
const bootLogsIn = (envelope: Uint8Array): (BootLog & { readonly state: "present" })[] =>
  readPayload(fromBase64(readEnvelope(envelope).payload)).quote.logs.filter(log => log.state === "present")

function whichEvidence({ parts: { store } }: Office, attester: string, which: string): Promise<Archived | undefined> {
  if (which === "newest") return store.newest(attester, "any")
  return which === "newest-answer" ? store.newest(attester, "timely") : store.archived(which)
}

async function logOf({ parts: { store } }: Office, { evidence, offset }: Request<"log">): Promise<Answer<"log">> {
  const found = await store.archived(evidence)
  if (!found) throw new CallFailed("there is no such evidence", "take its digest from: assay status")
  return { length: found.log, bytes: toBase64(await store.log(evidence, offset, pieceLimit)) }
}

async function bootLogOf(office: Office, { evidence, name, offset }: Request<"boot-log">): Promise<Answer<"boot-log">> {
  const { store } = office.parts
  const found = await store.archived(evidence)
  const named = found && bootLogsIn(found.envelope).find(log => log.name === name)
  const bytes = named && (await store.bootLog(found.attester, named.digest, offset, pieceLimit))
  if (!bytes) throw new CallFailed("this evidence names no such log", "see which it names with: assay export")
  return { length: named.length, bytes: toBase64(bytes) }
}

async function record(office: Office, request: Request<"reference-record">): Promise<Answer<"reference-record">> {
  const { store, now, config } = office.parts
  const { by, ignore } = request
  const { attester } = await the(office, request.attester)
  const newest = await store.newest(attester, "timely")
  if (!newest) throw new CallFailed("this attester has not answered yet", "ask it with: assay challenge")
  const evidence = await reexamine(store, config, newest, now())
  if (!("events" in evidence))
    throw new CallFailed(
      `what was kept verifies no more: ${evidence.map(({ id }) => id).join(", ")}`,
      "restore the store",
    )
  const shown = withQuotedFirmware(evidence.events, evidence)
  const reference = propose(attester, newest.digest, shown, by, instantOf(now()), {
    ...provenLines(evidence.platform),
    ignored: ignore,
  })
  const digest = referenceDigest(reference)
  await store.refer(attester, digest, now(), writeReference(reference))
  await office.parts.governor.refresh()
  office.parts.say(`${by} recorded a reference of ${attester} from evidence ${newest.digest}`)
  return {
    attester,
    reference: digest,
    evidence: newest.digest,
    measurements: reference.measurements.length,
    ...sizesOf(reference),
  }
}

/** What the logs of a boot prove, as far as a reference lists it. Throws CallFailed for more files than one holds. */
function provenLines({ boot, files }: Platform): Omit<Proven, "ignored"> {
  const pairs = filesOf(files).map(([path, digest]): [string, string] => [path, digest])
  if (pairs.length > mostFiles)
    throw new CallFailed(
      `${pairs.length} files were measured, more than the ${mostFiles} of a reference`,
      "narrow the IMA policy",
    )
  return { boot: typeof boot === "string" ? [] : bootMeasurements(boot), files: pairs }
}

function sizesOf(reference: Reference): { boot: number; files: number } {
  const proven = provenOf(reference)
  return proven === "nothing recorded"
    ? { boot: 0, files: 0 }
    : { boot: proven.boot.length, files: proven.files.length }
}

async function referenceOf({ parts: { store } }: Office, attester: string): Promise<Reference | undefined> {
  const bytes = await store.reference(attester)
  return bytes && readReference(bytes)
}

async function showReference(
  { parts: { store } }: Office,
  attester: string,
  offset: number,
): Promise<Answer<"reference-show">> {
  const bytes = await store.reference(attester)
  if (!bytes) throw new CallFailed("nothing was recorded of this attester", "record it with: assay reference record")
  return { length: bytes.length, bytes: toBase64(bytes.subarray(offset, offset + pieceLimit)) }
}

async function clear(office: Office, attester: string, by: string, reason: string): Promise<Answer<"clear">> {
  const { store, now, say } = office.parts
  const standing = await store.standing(attester)
  await store.clear({ attester, at: now(), by, reason }, cleared(standing))
  say(`${by} cleared ${attester}, which was ${standing.state}: ${reason}`)
  return { attester, was: standing.state }
}
