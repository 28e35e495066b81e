/**
 * How is what an operator asks about approvals carried out: publish a note, list what is published, name the gaps and plan them, and
 * count machines by cause? Whether a note is accepted is decided in `attestation/pins`.
 */
import { readResult, type Result } from "../attestation/appraise/result.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { Refusal } from "../attestation/pins/quorum.ts"
import { writeEvent } from "../attestation/protocol/event.ts"
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import { CallFailed, type Handlers } from "../local/call.ts"
import type { Office } from "./administer.ts"
import { type Held, heldBack } from "./gap.ts"
import type { Row } from "./store.ts"
import type { CollectorVerbs } from "./verbs.ts"

type Handler = Handlers<CollectorVerbs>
type Answer<K extends keyof Handler> = Awaited<ReturnType<Handler[K]>>
type Request<K extends keyof Handler> = Parameters<Handler[K]>[0]

export const administerApproval = (
  office: Office,
): Pick<Handler, "publish" | "notes" | "note" | "measured" | "gaps" | "gap-plan" | "causes"> => ({
  publish: ({ note }) => publish(office, fromBase64(note)),
  notes: ({ skip }) => notes(office, skip),
  note: ({ digest, offset }) => note(office, digest, offset),
  measured: async ({ digest }) => {
    const found = office.parts.governor.measured(digest)
    return { record: found ? writeEvent(found) : null }
  },
  gaps: ({ skip }) => gaps(office, skip),
  "gap-plan": request => plan(office, request),
  causes: () => causes(office),
})

const pageLimit = 100
const pieceLimit = 1 << 20
const instantOf = (time: number): string => new Date(time).toISOString()

async function publish({ parts: { governor, say } }: Office, bytes: Uint8Array): Promise<Answer<"publish">> {
  try {
    const { kind, origin, digest } = await governor.publish(bytes)
    say(`a ${kind} of ${origin} was published, sha256:${digest}`)
    return { kind: "accepted", note: kind, origin, digest }
  } catch (error) {
    if (error instanceof Refusal) return { kind: "refused", why: error.message.slice(0, 1024) }
    throw error
  }
}

async function notes({ parts: { governor, store } }: Office, skip: number): Promise<Answer<"notes">> {
  const all = await store.publishedNotes()
  const page = all.slice(skip, skip + pageLimit)
  return {
    root: governor.governance?.root ?? null,
    notes: page.map(({ kind, origin, digest, at }) => ({ kind, origin, digest, at: instantOf(at) })),
    next: skip + pageLimit < all.length ? skip + pageLimit : null,
  }
}

async function note({ parts: { store } }: Office, digest: string, offset: number): Promise<Answer<"note">> {
  const found = (await store.publishedNotes()).find(each => each.digest === digest)
  if (!found) throw new CallFailed("no note of this digest is published", "list them with: assay pin list")
  return { length: found.bytes.length, bytes: toBase64(found.bytes.subarray(offset, offset + pieceLimit)) }
}

/** Every attester that is not retired, with the newest result of an answer in time. */
async function* newestResults({ parts: { store } }: Office): AsyncGenerator<{ row: Row; result: Result | undefined }> {
  for (let after: string | undefined = ""; after !== undefined; ) {
    const rows: readonly Row[] = await store.attesters(after, 200)
    for (const row of rows) {
      if (await store.retirement(row.attester)) continue
      const newest = await store.newest(row.attester, "timely")
      yield { row, result: newest && readResult(fromBase64(readEnvelope(newest.result).payload)) }
    }
    after = rows.length < 200 ? undefined : rows.at(-1)?.attester
  }
}

async function gaps(office: Office, skip: number): Promise<Answer<"gaps">> {
  const { store } = office.parts
  const plans = await store.gapPlans()
  const found: Held[] = []
  for await (const { row, result } of newestResults(office))
    found.push(...heldBack(row, result, await store.gaps(row.attester, 64)))
  const page = found.slice(skip, skip + pageLimit)
  return {
    gaps: page.map(each => ({
      ...each,
      plans: plans
        .filter(({ gap }) => gap === each.gap || gap === each.question)
        .slice(-16)
        .map(({ owner, closes, by, reason, at }) => ({ owner, closes, by, reason, at: instantOf(at) })),
    })),
    next: skip + pageLimit < found.length ? skip + pageLimit : null,
  }
}

async function plan({ parts: { store, now, say } }: Office, given: Request<"gap-plan">): Promise<Answer<"gap-plan">> {
  const at = now()
  await store.planGap({ ...given, at })
  say(`${given.by} gave the gap ${given.gap} to ${given.owner}, to be closed by ${given.closes}: ${given.reason}`)
  return { gap: given.gap }
}

/** Machines by the one reason for which their verdict is not better, the most numerous first. */
async function causes(office: Office): Promise<Answer<"causes">> {
  const found = new Map<string, { cause: string | null; tier: Result["tier"]; machines: number; labels: string[] }>()
  for await (const { row, result } of newestResults(office)) {
    const cause = result ? result.cause : "never answered"
    const tier = result?.tier ?? "none"
    const key = JSON.stringify([tier, cause])
    const one = found.get(key) ?? { cause, tier, machines: 0, labels: [] }
    found.set(key, { ...one, machines: one.machines + 1, labels: [...one.labels, row.label].slice(0, 8) })
  }
  return { causes: [...found.values()].toSorted((a, b) => b.machines - a.machines).slice(0, 200) }
}
