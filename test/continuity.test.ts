/** Is each break with what was seen before found, and nothing that is none? Over evidence of a real TPM, one after another. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { continuity, type History, type Seen } from "../attestation/verify/continuity.ts"
import { type Expected, type VerifiedEvidence, verify } from "../attestation/verify/verify.ts"
import { readEvent } from "../attestation/protocol/event.ts"
import { celRecord, readCel } from "../attestation/tcg/cel.ts"
import { expectedOf, type Machine, measurement, type Options, startMachine } from "./evidence-maker.ts"

let machine: Machine
let first: VerifiedEvidence
let second: VerifiedEvidence

const nothingAsked = (options: Options): Partial<Expected> =>
  options.kind === "report" ? { asked: { kind: "nothing" } } : {}

async function verified(options: Options): Promise<VerifiedEvidence> {
  const outcome = verify(await machine.attest(options), { ...expectedOf(machine), ...nothingAsked(options) })
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  return outcome.evidence
}

const seenOf = ({ digest, body, quote }: VerifiedEvidence): Seen => ({
  digest,
  chain: body.chain,
  clock: quote.clock,
  boot: body.boot,
})
const after = (before: VerifiedEvidence, change: Partial<History> = {}): History => ({
  before: seenOf(before),
  same: undefined,
  newest: seenOf(before),
  knows: digest => digest === before.digest,
  log: before.log,
  ...change,
})
const idsOf = (history: History | "nothing seen", evidence: VerifiedEvidence): string[] =>
  continuity(history, evidence).map(each => each.id)

beforeAll(async () => {
  machine = await startMachine()
  await machine.append(measurement("a"))
  first = await verified({ sequence: 1n })
  await machine.append(measurement("b"))
  second = await verified({ sequence: 2n, previous: first.digest })
})
afterAll(() => machine.tpm.stop())

describe("no break", () => {
  test("what follows what was seen", () => expect(idsOf(after(first), second)).toEqual([]))

  test("M15 a number that was skipped, when the predecessor is named", async () => {
    const later = await verified({ sequence: 9n, previous: second.digest })
    expect(idsOf(after(second), later)).toEqual([])
  })

  test("the same evidence once more", () =>
    expect(idsOf(after(first, { same: seenOf(second), newest: seenOf(second), log: second.log }), second)).toEqual([]))

  test("M7 evidence that comes late is history, with the shorter log that it had", async () => {
    const report = await verified({ kind: "report", sequence: 3n, previous: second.digest })
    await machine.append(measurement("c"))
    const newest = await verified({ sequence: 4n, previous: report.digest })
    expect(idsOf(after(second, { newest: seenOf(newest), log: newest.log }), report)).toEqual([])
  })

  test("the first of all, of which nothing was seen, is said", () =>
    expect(idsOf("nothing seen", first)).toEqual(["history.not-checked"]))
})

describe("the chain", () => {
  test("the same place with other evidence", async () => {
    const other = await verified({ sequence: 2n, previous: first.digest })
    expect(idsOf(after(first, { same: seenOf(second) }), other)).toEqual(["chain.replayed"])
  })

  test("M15 a predecessor that is not the one seen, or none", async () => {
    expect(idsOf(after(first), await verified({ sequence: 3n, previous: second.digest }))).toEqual(["chain.gap"])
    expect(idsOf(after(first), await verified({ sequence: 3n }))).toEqual(["chain.gap"])
  })

  const started = { chainId: "12".repeat(16), sequence: 1n }
  const unrelated = { before: undefined }
  test("M14 a new chain that names the last evidence", async () => {
    const predecessor = { id: first.body.chain.id, sequence: "2", digest: second.digest }
    const restarted = await verified({ ...started, predecessor })
    expect(idsOf(after(second, unrelated), restarted)).toEqual(["chain.restarted"])
  })

  test("M14 a new chain that names what was the last evidence once: the state was put back", async () => {
    const predecessor = { id: first.body.chain.id, sequence: "1", digest: first.digest }
    const forked = await verified({ ...started, predecessor })
    const knows = (digest: string): boolean => [first.digest, second.digest].includes(digest)
    const found = continuity(after(second, { ...unrelated, knows }), forked)
    expect(found.map(({ id, wanted }) => [id, wanted])).toEqual([
      ["chain.gap", `after ${second.digest}, the newest that was seen`],
    ])
    // that it comes late, behind what followed it, is no such thing
    const newest = await verified({ ...started, sequence: 2n, previous: forked.digest })
    const later = after(second, { ...unrelated, newest: seenOf(newest), knows, log: newest.log })
    expect(idsOf(later, forked)).not.toContain("chain.gap")
  })

  test("a new chain that names nothing, something unknown, or a number without its digest", async () => {
    const id = first.body.chain.id
    for (const predecessor of [
      null,
      { id, sequence: "2", digest: "ab".repeat(32) },
      { id, sequence: "2", digest: null },
    ])
      expect(idsOf(after(second, unrelated), await verified({ ...started, predecessor }))).toEqual(["chain.gap"])
  })

  test("a chain that goes on from something unseen, whatever predecessor it names", async () => {
    const predecessor = { id: first.body.chain.id, sequence: "2", digest: second.digest }
    const middle = await verified({ ...started, sequence: 5n, previous: "cd".repeat(32), predecessor })
    expect(idsOf(after(second, unrelated), middle)).toEqual(["chain.gap"])
  })

  test("a chain of which only the beginning is missing", async () => {
    const middle = await verified({ ...started, sequence: 5n, previous: "cd".repeat(32) })
    expect(idsOf(after(second, unrelated), middle)).toEqual(["chain.gap"])
  })
})

describe("C7 the clock", () => {
  const at = (change: Partial<Seen["clock"]>): Seen => ({
    ...seenOf(first),
    clock: { ...second.quote.clock, ...change },
  })

  test("an answer that is not later than the newest seen", () => {
    const { milliseconds, resetCount, restartCount } = second.quote.clock
    const equal = at({})
    const later = [
      at({ milliseconds: milliseconds + 1n }),
      at({ resetCount: resetCount + 1, milliseconds: 0n }),
      at({ restartCount: restartCount + 1, milliseconds: 0n }),
    ]
    for (const newest of [equal, ...later])
      expect(idsOf(after(first, { newest, log: new Uint8Array(0) }), second)).toEqual(["clock.backwards"])
  })

  test("a restart with a lower clock is no step backwards", () => {
    const { milliseconds, restartCount } = second.quote.clock
    const newest = at({ restartCount: restartCount - 1, milliseconds: milliseconds + 1000n })
    expect(idsOf(after(first, { newest }), second)).toEqual([])
  })

  test("a reset is said, and is no step backwards although the clock fell", () => {
    const { milliseconds, resetCount } = second.quote.clock
    const newest = { ...at({ resetCount: resetCount - 1, milliseconds: milliseconds + 1000n }), boot: "another" }
    expect(idsOf(after(first, { newest, log: new Uint8Array(0) }), second)).toEqual(["epoch.reset"])
  })

  test("a real reset", async () => {
    const before = await verified({ sequence: 5n, previous: second.digest })
    const log = machine.log()
    await machine.tpm.restart()
    machine.forget()
    await machine.append(await machine.epoch("boot"))
    const reset = await verified({ sequence: 6n, previous: before.digest })
    const alone = ["epoch.reset", "epoch.boot-unchanged"] // no kernel booted here: only the TPM was restarted
    expect(idsOf(after(before, { log: new Uint8Array(0) }), reset).toSorted()).toEqual(alone.toSorted())
    const turned = after(reset, { log: before.log })
    expect(idsOf(turned, before)).toEqual(["chain.gap", "clock.backwards"])
    for (const record of readCel(log).slice(1)) await machine.append(readEvent(record.content))
  })
})

describe("C28 the log", () => {
  /** What whoever may use the TPM can do: reset the PCR and extend another history. */
  async function rewrite(events: Parameters<Machine["append"]>[0][]): Promise<void> {
    await machine.tpm.tool("tpm2_pcrreset", "23")
    machine.forget()
    for (const event of events) await machine.append(event)
  }

  test("M5 another history in the same epoch", async () => {
    await rewrite([await machine.epoch(), measurement("a"), measurement("bad")])
    const seen = await verified({ sequence: 10n })
    await rewrite([await machine.epoch(), measurement("a"), measurement("good")])
    const now = await verified({ sequence: 11n, previous: seen.digest })
    expect(idsOf(after(seen), now)).toEqual(["log.rewritten"])
  })

  test("M5 the same history without its end: a PCR that was reset and extended again up to the bad record", async () => {
    await rewrite([await machine.epoch(), measurement("a"), measurement("bad")])
    const seen = await verified({ sequence: 20n })
    await rewrite([await machine.epoch(), measurement("a")])
    for (const kind of ["answer", "report"] as const) {
      const now = await verified({ kind, sequence: 21n, previous: seen.digest })
      expect(idsOf(after(seen), now)).toEqual(["log.rewritten"])
    }
  })

  test("records are compared as bytes: one that says the same otherwise is another", () => {
    const records = readCel(first.log).map(({ recnum, pcr, content }) => celRecord(recnum, pcr, ["sha256"], content))
    const log = Buffer.concat(records.map(record => Buffer.from(`${JSON.stringify(record)}\n`)))
    expect(idsOf(after(first, { log }), second)).toEqual(["log.rewritten"])
  })
})
