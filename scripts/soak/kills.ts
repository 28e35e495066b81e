/**
 * What survives when parts are killed at any moment? Agent, broker, collector and TPM are ended by SIGKILL at moments drawn from
 * a seed, while the machine is measured and asked all the time. Afterwards: nothing acknowledged is lost, no number of a chain
 * was used twice, the next evidence was authentic, and what a killed TPM cost is a finding.
 */
import { basename, join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as delay } from "node:timers/promises"
import { z } from "zod"
import { openSqlite } from "../../collector/sqlite.ts"
import { readPiece } from "../../agent/spool-file.ts"
import { readResult } from "../../attestation/appraise/result.ts"
import { readEnvelope } from "../../attestation/protocol/dsse.ts"
import { evidenceDigest, readPayload } from "../../attestation/protocol/evidence.ts"
import { fromBase64 } from "../../attestation/wire/text.ts"
import { type Part, parts, Site } from "./site.ts"

/** What was seen; `faults` is what should not have been. */
export type Outcome = {
  readonly kills: number
  readonly evidence: number
  readonly acknowledged: number
  readonly resets: number
  readonly faults: readonly string[]
}

/** The longest pause before a kill, in milliseconds. */
const longestPause = 1500
/** How long the site may need to answer again. */
const patience = 60_000

/** Kills each part `times` times. `say` is told each step. */
export async function exercise(seed: number, times: number, say: (line: string) => void): Promise<Outcome> {
  const chance = random(seed)
  const order = shuffled(
    parts.flatMap(part => Array.from({ length: times }, () => part)),
    chance,
  )
  const site = await Site.open()
  try {
    await answered(site)
    for (const [round, part] of order.entries()) await kill(site, part, round, chance, say)
    await answered(site)
    return await examine(site, order)
  } catch (error) {
    const said = `agent:\n${site.said("agent")}\ncollector:\n${site.said("collector")}`
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n${said}`, {
      cause: error,
    })
  } finally {
    await site.close()
  }
}

async function kill(
  site: Site,
  part: Part,
  round: number,
  chance: () => number,
  say: (line: string) => void,
): Promise<void> {
  site.writeModel(`round ${round}`)
  const asked = challenge(site).catch(() => undefined)
  const pause = Math.floor(chance() * longestPause)
  await delay(pause)
  await site.killAndRestart(part)
  await asked
  const begun = Date.now()
  await answered(site)
  say(`${round + 1}: ${part} killed after ${pause} ms; the next answer came within ${Date.now() - begun} ms`)
}

/** Resolves when a new challenge was answered by evidence that verified. */
async function answered(site: Site): Promise<void> {
  const end = Date.now() + patience
  for (let last = "nothing"; ; await delay(100)) {
    const ended = await challenge(site).catch(error => String(error))
    if (typeof ended === "object" && ended.kind === "judged") return
    if (ended !== undefined) last = JSON.stringify(ended)
    if (Date.now() > end) throw new Error(`no answer verified within ${patience} ms; the last try ended: ${last}`)
  }
}

/** Asks the site's only attester now. */
const challenge = (site: Site) =>
  site.ask(async collector => {
    const { attesters } = await collector.call("attesters", { after: "" })
    const attester = attesters[0]?.attester
    return attester ? collector.call("challenge", { attester, depth: "quick" }) : undefined
  })

const digestRow = z.object({ digest: z.string() })
/** Every piece of evidence that the collector kept, oldest first. */
async function keptIn(
  path: string,
): Promise<{ digest: string; reset: number; envelope: Uint8Array; result: Uint8Array }[]> {
  const db = new DatabaseSync(path, { readOnly: true })
  const digests = db.prepare("SELECT digest FROM evidence ORDER BY rowid").all()
  db.close()
  const store = openSqlite(path)
  try {
    const kept = await Promise.all(digests.map(row => store.archived(digestRow.parse(row).digest)))
    return kept.flatMap(each => (each ? [{ ...each, reset: each.clock.resetCount }] : []))
  } finally {
    await store.close()
  }
}
const incidentRow = z.object({ kind: z.string(), findings: z.string(), says: z.string() })

async function examine(site: Site, order: readonly Part[]): Promise<Outcome> {
  const path = join(site.folder, "collector-state/collector.db")
  const db = new DatabaseSync(path, { readOnly: true })
  const kept = await keptIn(path)
  const incidents = db
    .prepare("SELECT kind, findings, says FROM incident")
    .all()
    .map(row => incidentRow.parse(row))
  const sound = JSON.stringify(db.prepare("PRAGMA integrity_check").all())
  db.close()
  const digests = new Set(kept.map(each => each.digest))
  const lost = site.acknowledged.filter(path => ![...digests].some(digest => basename(path).includes(digest)))
  const envelopes = [...kept.map(each => each.envelope), ...(await spooled(site))]
  const found = kept.flatMap(each => findingsOf(each.result))
  // a report that came late may find the same reset that an answer found before it
  const told = kept.filter(each => findingsOf(each.result).includes("epoch.reset")).map(({ reset }) => reset)
  const resets = new Set(told).size
  const killed = order.filter(part => part === "tpm").length
  return {
    kills: order.length,
    evidence: kept.length,
    acknowledged: site.acknowledged.length,
    resets,
    faults: [
      ...(sound.includes('"ok"') ? [] : [`the store is damaged: ${sound}`]),
      ...lost.map(path => `acknowledged and lost: ${basename(path)}`),
      ...twice(envelopes),
      ...(resets === killed ? [] : [`${killed} TPMs were killed, and ${resets} resets found`]),
      ...found.filter(id => broken.has(id)).map(id => `found ${id}`),
      ...incidents
        .filter(({ kind, findings }) => kind === "refused" && forged(findings))
        .map(each => JSON.stringify(each)),
    ],
  }
}

/** What an honest site never shows, whatever is killed. */
const broken: ReadonlySet<string> = new Set(["chain.replayed", "clock.backwards", "log.rewritten", "log.replay"])
const forged = (findings: string): boolean => /"(evidence|quote|log|chain|ak|credential)\./.test(findings)

const findingsOf = (envelope: Uint8Array): readonly string[] =>
  readResult(fromBase64(readEnvelope(envelope).payload)).findings.map(each => each.id)

const spooled = (site: Site): Promise<Uint8Array[]> =>
  Promise.all([...site.waiting, ...site.acknowledged].map(async path => (await readPiece(path)).envelope))

/** Places in a chain with more than one evidence. */
function twice(envelopes: readonly Uint8Array[]): string[] {
  const places = new Map<string, Set<string>>()
  for (const envelope of envelopes) {
    const payload = fromBase64(readEnvelope(envelope).payload)
    const { chain } = readPayload(payload).body
    const place = `chain ${chain.id}, number ${chain.sequence}`
    places.set(place, (places.get(place) ?? new Set()).add(evidenceDigest(payload)))
  }
  return [...places].filter(([, digests]) => digests.size > 1).map(([place]) => `${place} was used twice`)
}

/** Numbers in [0, 1) that follow from `seed` (mulberry32). */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function shuffled<T>(items: readonly T[], chance: () => number): T[] {
  return items
    .map(item => ({ item, key: chance() }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ item }) => item)
}
