/** How are an operator's decisions about trust carried out: whose certificates count, who is retired, what was invited? */
import type { Decision } from "../attestation/appraise/endorsement.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import { CallFailed, type Handlers } from "../local/call.ts"
import type { Office } from "./administer.ts"
import { admitCertificate } from "./roots.ts"
import type { InvitationState } from "./store.ts"
import type { AdmittedCertificate } from "./trust.ts"
import type { AdmittedRow, CollectorVerbs } from "./verbs.ts"

type Handler = Handlers<CollectorVerbs>
type Answer<K extends keyof Handler> = Awaited<ReturnType<Handler[K]>>

export const administerTrust = (
  office: Office,
): Pick<Handler, "roots-add" | "roots-list" | "roots-withdraw" | "invitations" | "tls-rotate" | "restored"> => ({
  "roots-add": ({ certificate, approver }) => add(office, fromBase64(certificate), approver ?? "nobody"),
  "roots-list": ({ skip }) => list(office, skip),
  "roots-withdraw": async ({ fingerprint, by, reason }) => withdraw(office, fingerprint, { by, reason }),
  restored: async decision => restored(office, decision),
  "tls-rotate": async decision => rotate(office, decision),
  invitations: ({ before }) => invitations(office, before),
})

const pageLimit = 200
const instantOf = (time: number): string => new Date(time).toISOString()

async function add(
  { parts: { store, now, say } }: Office,
  bytes: Uint8Array,
  approver: Decision | "nobody",
): Promise<Answer<"roots-add">> {
  const admission = await admitCertificate(store, bytes, approver, now())
  if (admission.kind === "refused") return admission
  const certificate = rowOf(admission.certificate)
  const { role, maker, fingerprint, approval } = certificate
  const who = approval === "listed" ? "listed" : `by ${approval.by}: ${approval.reason}`
  if (admission.kind === "admitted") say(`admitted a ${role} of ${maker}, ${fingerprint}, ${who}`)
  return { kind: admission.kind, certificate }
}

const rowOf = ({ fingerprint, role, maker, approval, at }: AdmittedCertificate): AdmittedRow => ({
  ...{ fingerprint, role, maker, approval, at: instantOf(at) },
})

async function list({ parts: { store } }: Office, skip: number): Promise<Answer<"roots-list">> {
  const all = await store.admittedCertificates()
  const certificates = all.slice(skip, skip + pageLimit).map(rowOf)
  return { certificates, next: skip + pageLimit < all.length ? skip + pageLimit : null }
}

/** A new TLS key, which the one of before signed; connections that are open stay. */
function rotate({ parts: { now, say }, tls }: Office, { by, reason }: Decision): Answer<"tls-rotate"> {
  const from = tls.pin()
  const pin = tls.succeed({ by, reason, at: instantOf(now()) })
  say(`${by} replaced the TLS key: ${reason}; pin ${toHex(pin)} follows ${toHex(from)}`)
  return { pin: toHex(pin), before: toHex(from) }
}

async function withdraw(
  { parts: { store, now, say } }: Office,
  fingerprint: string,
  decision: Decision,
): Promise<Answer<"roots-withdraw">> {
  const withdrawn = await store.withdraw(fingerprint, decision, now())
  if (withdrawn) say(`${decision.by} withdrew ${fingerprint}: ${decision.reason}`)
  return { withdrawn }
}

/** Ends an attester: its row, and its connection. */
export async function retire(
  { parts: { store, fleet, now, say } }: Office,
  attester: string,
  decision: Decision,
): Promise<Answer<"retire">> {
  const done = await store.retire(attester, decision, now())
  if (done === "none") throw new CallFailed("no attester of this name is enrolled", "list them with: assay attesters")
  if (done === "retired before")
    throw new CallFailed("this attester was retired before", "assay status shows by whom, and why")
  fleet.get(attester)?.end("this attester was retired")
  say(`${decision.by} retired ${attester}: ${decision.reason}`)
  return { attester, enrolments: done.number }
}

async function invitations({ parts: { store, now } }: Office, before: string | null): Promise<Answer<"invitations">> {
  const at = now()
  const rows = await store.invitations(before === null ? at + 1 : Date.parse(before), pageLimit)
  const last = rows.at(-1)
  return {
    invitations: rows.map(each => ({
      ...{ id: each.id, purpose: each.purpose, name: each.name, by: each.by, accept: each.accept },
      ...{ issued: instantOf(each.issued), expires: instantOf(each.expires), state: stateOf(each, at) },
    })),
    next: last && rows.length === pageLimit ? instantOf(last.issued) : null,
  }
}

function stateOf(
  { purpose, revoked, used, expires }: InvitationState,
  now: number,
): "open" | "used" | "revoked" | "expired" {
  if (purpose === "attester" && used) return "used"
  if (revoked) return "revoked"
  return expires > now ? "open" : "expired"
}

async function restored({ parts: { store, now, say } }: Office, { by, reason }: Decision) {
  await store.restored({ at: now(), by, reason })
  say(`${by} says that the store came out of a backup: ${reason}`)
  return { attesters: await store.count() }
}
