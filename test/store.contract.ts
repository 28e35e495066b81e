/** What every store must do, whatever keeps it: the other half of collector/store.ts. Run by the test of each store. */
import { randomBytes } from "node:crypto"
import { beforeEach, describe, expect, test } from "vitest"
import { unknown } from "../attestation/appraise/state.ts"
import type { Identity } from "../attestation/protocol/message.ts"
import { leafOf, writeLeaf } from "../attestation/vault/leaf.ts"
import { consistent, includes } from "../attestation/vault/proof.ts"
import { leafHash, rootOver } from "../attestation/vault/tree.ts"
import { toBase64 } from "../attestation/wire/text.ts"
import type { Enrolment, Entry, Invitation, Nonce, Place, Recorded, Store } from "../collector/store.ts"
import type { AdmittedCertificate } from "../collector/trust.ts"
import { describeSecrets } from "./store-secrets.contract.ts"

const hex = (bytes: number): string => randomBytes(bytes).toString("hex")
const name = (): string => `000b${hex(32)}`
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8")
const bytes = (of: string): Uint8Array => new Uint8Array(Buffer.from(of, "utf8"))

const invitation = (more: Partial<Invitation> = {}): Invitation => ({
  ...{ id: hex(32), purpose: "attester", name: "gpu-1", by: "Olga", issued: 1000, expires: 9000, accept: null },
  ...more,
})

const identity = (attester: string, evidenceKey = toBase64(randomBytes(32))): Identity => ({
  ...{ attester, ekPublic: "", ekCertificate: null, akPublic: "", evidenceKey },
  creation: { data: "", attest: "", signature: "" },
})

type Candidate = Omit<Enrolment, "number">
const candidate = (attester: string, by: Invitation, more: Partial<Candidate> = {}): Candidate => ({
  ...{ attester, at: 2000, label: "label", invitation: by.id, identity: identity(attester), ak: name() },
  endorsement: { kind: "unendorsed" },
  audit: "unavailable",
  ...more,
})

const nonceFor = (attester: string, more: Partial<Nonce> = {}): Nonce => ({
  ...{ nonce: new Uint8Array(randomBytes(32)), attester, channel: new Uint8Array(randomBytes(32)) },
  ...{ issued: 3000, expires: 4000 },
  ...more,
})

type EntryOptions = Partial<Entry> & {
  readonly version?: number
  readonly sequence?: string
  readonly clockAt?: bigint
}
function entry(attester: string, { version = 0, sequence = "1", clockAt = 1n, ...more }: EntryOptions = {}): Entry {
  return {
    ...{ digest: hex(32), attester, enrolment: 1, kind: "report", timely: false, nonce: null, asked: null },
    chain: { id: "c".repeat(32), sequence, previous: null },
    clock: { resetCount: 1, restartCount: 0, milliseconds: clockAt },
    boot: "b",
    audit: null,
    ...{
      received: 5000,
      envelope: bytes("envelope"),
      log: bytes("log\n"),
      bootLogs: [],
      tier: "warning",
      result: bytes("result"),
    },
    ...{ gap: null, standing: { version, after: { state: "warning", resetCount: 1, fresh: 3000, under: null } } },
    ...more,
  }
}

const placeOf = ({ attester, chain, clock }: Entry, predecessor: string | null = null): Place => ({
  ...{ attester, chain, clock, predecessor },
})

/** Describes the contract of the stores that `open` gives: each call a new, empty one, closed by the caller. */
export function describeStore(kind: string, open: () => Promise<Store>): void {
  let store: Store
  beforeEach(async () => {
    store = await open()
  })

  async function enrolled(attester = name()): Promise<string> {
    const by = invitation()
    await store.invite(by)
    await store.enrol(candidate(attester, by))
    return attester
  }

  describe(`${kind}: admission`, () => {
    test("C15 an invitation admits once", async () => {
      const by = invitation()
      await store.invite(by)
      expect(await store.invitation(by.id)).toEqual({ ...by, revoked: false, used: false })
      const first = await store.enrol(candidate(name(), by))
      expect(first).toMatchObject({ number: 1 })
      expect(await store.enrol(candidate(name(), by))).toBe("refused")
      expect(await store.invitation(by.id)).toMatchObject({ used: true })
      expect(await store.count()).toBe(1)
    })

    test("C15 an expired, a revoked, an unknown and a verifier's invitation admit no attester", async () => {
      const given = [invitation({ expires: 2000 }), invitation(), invitation({ purpose: "verifier" })] as const
      for (const each of given) await store.invite(each)
      expect(await store.revoke(given[1].id, "Olga", 1500)).toBe(true)
      expect(await store.revoke(given[1].id, "Olga", 1600)).toBe(false)
      expect(await store.revoke(hex(32), "Olga", 1600)).toBe(false)
      for (const by of [...given, invitation()]) expect(await store.enrol(candidate(name(), by))).toBe("refused")
      expect(await store.count()).toBe(0)
    })

    test("C14 enrolling again adds a record; the newest counts and the first stays", async () => {
      const attester = await enrolled()
      const by = invitation()
      await store.invite(by)
      const endorsement = { kind: "accepted", by: "Karl", reason: "bought it" } as const
      const again = candidate(attester, by, { endorsement, label: "another" })
      expect(await store.enrol(again)).toEqual({ ...again, number: 2 })
      expect(await store.enrolment(attester)).toEqual({ ...again, number: 2 })
      expect(await store.enrolmentNumber(attester, 1)).toMatchObject({ number: 1, label: "label" })
      expect(await store.attesters("", 10)).toEqual([{ attester, label: "another", enrolled: 2000 }])
    })

    test("C14 a key belongs to one attester", async () => {
      const owner = candidate(name(), invitation())
      await store.invite(invitation({ id: owner.invitation }))
      await store.enrol(owner)
      const thief = name()
      const [ak, key] = [invitation(), invitation()]
      for (const each of [ak, key]) await store.invite(each)
      expect(await store.enrol(candidate(thief, ak, { ak: owner.ak }))).toBe("taken")
      const withKey = candidate(thief, key, { identity: identity(thief, owner.identity.evidenceKey) })
      expect(await store.enrol(withKey)).toBe("taken")
      expect(await store.invitation(ak.id)).toMatchObject({ used: false })
    })

    test("attesters are listed in pages and found by name, its beginning, or label", async () => {
      const names = [await enrolled(), await enrolled(), await enrolled()].toSorted()
      const first = await store.attesters("", 2)
      expect(first.map(row => row.attester)).toEqual(names.slice(0, 2))
      expect((await store.attesters(first[1]?.attester ?? "", 2)).map(row => row.attester)).toEqual(names.slice(2))
      expect(await store.find(names[0]?.slice(0, 40) ?? "")).toHaveLength(1)
      expect(await store.find("label")).toHaveLength(2)
      expect(await store.find("%")).toHaveLength(0)
      const by = invitation()
      await store.invite(by)
      await store.enrol(candidate(name(), by, { label: names[0] ?? "" }))
      expect(await store.find(names[0] ?? ""), "a label takes no name").toMatchObject([{ attester: names[0] }])
    })
  })

  describe(`${kind}: trust`, () => {
    const facts = { fingerprint: hex(32), certificate: bytes("der"), maker: "A maker", at: 1 }
    const root: AdmittedCertificate = { ...facts, role: "root", approval: "listed" }
    const decision = { by: "Karl", reason: "its key leaked" }

    test("C10 a certificate is admitted once, withdrawn once by somebody, and may be admitted again", async () => {
      expect(await store.admitCertificate(root)).toBe(true)
      expect(await store.admitCertificate({ ...root, maker: "another" })).toBe(false)
      const approved = { ...root, fingerprint: hex(32), approval: decision, at: 2 }
      await store.admitCertificate(approved)
      expect(await store.admittedCertificates()).toEqual([root, approved])
      expect(await store.withdrawal(root.fingerprint)).toBeUndefined()
      expect(await store.withdraw(root.fingerprint, decision, 3)).toBe(true)
      expect(await store.withdraw(root.fingerprint, decision, 3)).toBe(false)
      expect(await store.withdrawal(root.fingerprint)).toEqual(decision)
      expect(await store.admittedCertificates()).toEqual([approved])
      expect(await store.admitCertificate({ ...root, at: 4 })).toBe(true)
      expect(await store.withdrawal(root.fingerprint)).toBeUndefined()
    })

    test("C14 a retirement ends what was enrolled so far, and not what comes after", async () => {
      expect(await store.retire(name(), decision, 5)).toBe("none")
      const attester = await enrolled()
      expect(await store.retirement(attester)).toBeUndefined()
      const retired = { attester, ...decision, number: 1, at: 5 }
      expect(await store.retire(attester, decision, 5)).toEqual(retired)
      expect(await store.retire(attester, decision, 6)).toBe("retired before")
      expect(await store.retirement(attester)).toEqual(retired)
      await enrolled(attester)
      expect(await store.retirement(attester)).toBeUndefined()
      expect(await store.retire(attester, decision, 7)).toMatchObject({ number: 2 })
    })

    test("C14 names of one machine are known from either side", async () => {
      const [one, other] = [name(), name()]
      await store.alias({ attester: one, alias: other, at: 1 })
      await store.alias({ attester: one, alias: other, at: 2 })
      for (const each of [one, other])
        expect(await store.aliases(each)).toEqual([{ attester: one, alias: other, at: 1 }])
      expect(await store.aliases(name())).toEqual([])
    })

    test("C15 invitations are listed, newest first, with what became of them", async () => {
      const given = [1000, 2000, 3000].map(issued => invitation({ issued }))
      for (const each of given) await store.invite(each)
      await store.revoke(given[0]?.id ?? "", "Olga", 1500)
      await store.enrol(candidate(name(), given[1] ?? invitation()))
      const listed = await store.invitations(9999, 10)
      expect(listed.map(({ issued, revoked, used }) => [issued, revoked, used])).toEqual([
        [3000, false, false],
        [2000, false, true],
        [1000, true, false],
      ])
      expect(await store.invitations(3000, 1)).toEqual([listed[1]])
    })
  })

  describe(`${kind}: evidence`, () => {
    test("C16 a nonce is redeemed once, with the evidence, or not at all", async () => {
      const attester = await enrolled()
      const nonce = nonceFor(attester)
      await store.issue(nonce)
      expect(await store.nonce(nonce.nonce)).toEqual(nonce)
      const one = entry(attester, { kind: "answer", timely: true, nonce: nonce.nonce, asked: 3000 })
      expect(await store.record(one)).toBe("recorded")
      expect(await store.nonce(nonce.nonce)).toBeUndefined()
      const two = entry(attester, { nonce: nonce.nonce, sequence: "2", version: 1 })
      expect(await store.record(two)).toBe("spent")
      expect(await store.archived(two.digest)).toBeUndefined()
    })

    test("C16 a nonce of another attester, or one that was forgotten, is not redeemed", async () => {
      const [attester, other] = [await enrolled(), await enrolled()]
      const [theirs, old] = [nonceFor(other), nonceFor(attester, { expires: 3500 })]
      for (const each of [theirs, old]) await store.issue(each)
      expect(await store.record(entry(attester, { nonce: theirs.nonce }))).toBe("spent")
      await store.forgetNonces(3600, 3600, 99)
      expect(await store.nonce(old.nonce)).toBeUndefined()
      expect(await store.nonce(theirs.nonce)).toBeDefined()
      expect(await store.record(entry(attester, { nonce: old.nonce }))).toBe("spent")
    })

    test("C19 nonces of names that nobody enrolled leave when they expire, and no name holds many", async () => {
      const attester = await enrolled()
      const stranger = nonceFor(name())
      const own = [1, 2, 3].map(i => nonceFor(attester, { issued: 3000 + i }))
      for (const each of [stranger, ...own]) await store.issue(each)
      await store.forgetNonces(0, 3999, 2)
      const left = async (): Promise<boolean[]> =>
        Promise.all([stranger, ...own].map(async each => (await store.nonce(each.nonce)) !== undefined))
      expect(await left()).toEqual([true, false, true, true])
      await store.forgetNonces(0, 4001, 2)
      expect(await left()).toEqual([false, false, true, true])
    })

    test("recording is idempotent by digest, and moves only from the standing that it was judged from", async () => {
      const attester = await enrolled()
      const one = entry(attester)
      expect(await store.record(one)).toBe("recorded")
      expect(await store.record(one)).toBe("known")
      expect(await store.standing(attester)).toEqual({ ...one.standing.after, version: 1 })
      const outcomes: Recorded[] = []
      for (const version of [0, 2, 1]) outcomes.push(await store.record(entry(attester, { version, sequence: "2" })))
      expect(outcomes).toEqual(["moved", "moved", "recorded"])
    })

    test("what is kept comes back as it went in", async () => {
      const attester = await enrolled()
      const {
        gap: _gap,
        standing: _standing,
        log,
        bootLogs: _bootLogs,
        nonce: _nonce,
        audit: _audit,
        ...same
      } = entry(attester, { sequence: String(2n ** 64n - 1n) })
      await store.record(entry(attester, { ...same, sequence: same.chain.sequence }))
      expect(await store.archived(same.digest)).toEqual({ ...same, log: log.length })
      expect(await store.newest(attester, "any")).toMatchObject({ digest: same.digest })
      expect(await store.newest(attester, "timely")).toBeUndefined()
      expect(await store.archived(hex(32))).toBeUndefined()
    })

    test("evidence of nobody who is enrolled is not kept", async () => {
      await expect(store.record(entry(name()))).rejects.toThrow()
    })

    test("M7 neighbours are by number within a chain, and by quote over all", async () => {
      const attester = await enrolled()
      const one = entry(attester, { sequence: "9", clockAt: 10n })
      const two = entry(attester, { sequence: "11", clockAt: 30n, version: 1 })
      const other = { id: "d".repeat(32), sequence: "1", previous: null }
      const three = entry(attester, { chain: other, clockAt: 20n, version: 2, log: bytes("log\nmore\n") })
      for (const each of [one, two, three]) expect(await store.record(each)).toBe("recorded")
      const between = entry(attester, { sequence: "10", clockAt: 15n })
      const near = await store.neighbours(placeOf(between, three.digest))
      expect(near).toMatchObject({ before: { digest: one.digest }, same: undefined, newest: { digest: two.digest } })
      expect(near).toMatchObject({ older: { digest: one.digest, log: 4 }, newer: { digest: three.digest, log: 9 } })
      expect(near.knowsPredecessor).toBe(true)
      expect(text(near.log)).toBe("log\nmore\n")
      expect((await store.neighbours(placeOf(one, hex(32)))).knowsPredecessor).toBe(false)
      expect((await store.neighbours(placeOf(one))).same).toMatchObject({ digest: one.digest })
    })

    test("C7 numbers of 64 bits sort as numbers", async () => {
      const attester = await enrolled()
      const [low, high] = [2n ** 63n - 1n, 2n ** 63n + 1n]
      await store.record(entry(attester, { sequence: "1", clockAt: high }))
      await store.record(entry(attester, { sequence: "2", clockAt: low, version: 1 }))
      const near = await store.neighbours(placeOf(entry(attester, { sequence: "3", clockAt: 9n })))
      expect(near.newest?.clock.milliseconds).toBe(high)
      expect(near.before?.clock.milliseconds).toBe(low)
    })

    test("a log grows, and a rewritten one is kept beside it", async () => {
      const attester = await enrolled()
      const states = ["a\n", "a\nb\n", "a\nX\n", "a\nb\nc\n", "a\nX\ny\n"]
      for (const [i, log] of states.entries())
        await store.record(
          entry(attester, {
            sequence: String(i),
            clockAt: BigInt(i),
            version: i,
            log: bytes(log),
            digest: `${i}`.repeat(64),
          }),
        )
      for (const [i, log] of states.entries()) expect(text(await store.log(`${i}`.repeat(64), 0, 99))).toBe(log)
      expect(text(await store.log("3".repeat(64), 2, 2))).toBe("b\n")
      const epoch = { attester, resetCount: 1, restartCount: 0 }
      const prefixes = await store.prefixes(epoch, 4)
      expect(prefixes.map(text).toSorted()).toEqual(["a\nX\n", "a\nb\n"])
      expect(await store.prefixes({ ...epoch, restartCount: 1 }, 1)).toEqual([])
      const near = await store.neighbours(placeOf(entry(attester, { sequence: "9", clockAt: 9n })))
      expect(text(near.log), "the first log of an epoch is its history").toBe("a\nb\nc\n")
    })
  })

  describe(`${kind}: register`, () => {
    test("M15 a gap stays until its evidence comes, or a named person closes it", async () => {
      const attester = await enrolled()
      const missing = hex(32)
      await store.record(entry(attester, { gap: { missing }, digest: "1".repeat(64) }))
      await store.record(
        entry(attester, { gap: { missing: null }, sequence: "2", clockAt: 2n, version: 1, digest: "2".repeat(64) }),
      )
      expect(await store.gaps(attester, 9)).toMatchObject([{ missing }, { missing: null }])
      await store.record(entry(attester, { digest: missing, sequence: "0", clockAt: 0n, version: 2 }))
      expect(await store.gaps(attester, 9)).toMatchObject([{ missing: null }])
      await store.clear(
        { attester, at: 6000, by: "Olga", reason: "looked" },
        { state: "unknown", resetCount: 1, fresh: null, under: null },
      )
      expect(await store.gaps(attester, 9)).toEqual([])
      expect(await store.standing(attester)).toEqual({
        state: "unknown",
        resetCount: 1,
        fresh: null,
        under: null,
        version: 4,
      })
    })

    test("an attester of which nothing is known stands so", async () => {
      expect(await store.standing(name())).toEqual({ ...unknown, version: 0 })
    })

    test("a standing that is not concluded from evidence follows the one that it was concluded from, and no other", async () => {
      const attester = name()
      const bad = { state: "contraindicated", resetCount: 3, fresh: null, under: null } as const
      expect(await store.stand(attester, { version: 0, after: bad })).toBe("kept")
      expect(await store.stand(attester, { version: 0, after: unknown })).toBe("moved")
      expect(await store.standing(attester)).toEqual({ ...bad, version: 1 })
    })

    test("incidents: the newest of each attester are kept", async () => {
      const attester = name()
      const findings = [{ id: "log.replay", component: "PCR 23", seen: "a", wanted: "b" }] as const
      for (let at = 1; at <= 5; at++)
        await store.tell({ attester, at, kind: "refused", evidence: null, findings, says: "from" }, 3)
      await store.tell({ attester: name(), at: 9, kind: "missed", evidence: null, findings: [], says: "" }, 3)
      const kept = await store.incidents(attester, 99)
      expect(kept.map(each => each.at)).toEqual([5, 4, 3])
      expect(kept[0]?.findings).toEqual(findings)
      expect(await store.incidents(attester, 1)).toHaveLength(1)
    })

    test("the newest reference counts, byte for byte", async () => {
      const attester = name()
      expect(await store.reference(attester)).toBeUndefined()
      for (const each of ["one", "two"]) await store.refer(attester, hex(32), 1, bytes(each))
      expect(text((await store.reference(attester)) ?? new Uint8Array())).toBe("two")
    })
  })

  describe(`${kind}: secrets`, () => {
    const enrolAgain = async (attester: string): Promise<void> => void (await enrolled(attester))
    describeSecrets({ store: () => store, enrolled, enrolAgain, entry, nonceFor })
  })

  describe(`${kind}: vault`, () => {
    const leaves = async () => (await store.leaves(0, 99)).map(({ leaf }) => leaf.kind)

    test("what is kept is a leaf, in the order of its coming, and its bytes are given back", async () => {
      const attester = await enrolled()
      const one = entry(attester, { envelope: bytes("one"), result: bytes("its result") })
      await store.record(one)
      await store.record(one)
      await store.refer(attester, hex(32), 1, bytes("reference"))
      await store.refer(attester, hex(32), 2, bytes("reference"))
      expect(await leaves()).toEqual(["enrolment", "evidence", "result", "reference"])
      const at = (await store.leafOfEvidence(one.digest)) ?? -1
      expect(at).toBe(1)
      expect(text((await store.content(at)) ?? bytes(""))).toBe("one")
      expect(text((await store.content(at + 1)) ?? bytes(""))).toBe("its result")
      const [, leaf] = await store.leaves(0, 2)
      expect(leaf?.leaf).toEqual(leafOf("evidence", bytes("one"), one.received))
      expect(await store.leafOfEvidence(hex(32))).toBeUndefined()
    })

    test("evidence that is refused leaves no leaf", async () => {
      const attester = await enrolled()
      expect(await store.record(entry(attester, { nonce: new Uint8Array(32) }))).toBe("spent")
      expect(await store.record(entry(attester, { version: 7 }))).toBe("moved")
      expect(await leaves()).toEqual(["enrolment"])
    })

    test("what others hand over is kept once", async () => {
      expect(await store.keep("pin", bytes("a pin"), 5)).toBe(0)
      expect(await store.keep("pin", bytes("another"), 6)).toBe(1)
      expect(await store.keep("pin", bytes("a pin"), 7)).toBe(0)
      expect(await store.keep("policy", bytes("a pin"), 7)).toBe(2)
      expect((await store.treeHead()).size).toBe(3)
    })

    test("envelopes that hardly differ come back byte for byte, as does what is no envelope", async () => {
      const attester = await enrolled()
      const signed = (n: number): Uint8Array =>
        bytes(
          JSON.stringify({
            payloadType: "application/vnd.assay.evidence.v1+json",
            payload: toBase64(bytes(`{"n":${n},"same":"${"x".repeat(4000)}"}`)),
            signatures: [{ keyid: hex(32), sig: toBase64(randomBytes(64)) }],
          }),
        )
      const given = [...[1, 2, 3].map(signed), bytes(""), new Uint8Array(randomBytes(9000)), signed(4)]
      for (const [i, envelope] of given.entries())
        await store.record(entry(attester, { envelope, sequence: String(i), clockAt: BigInt(i), version: i }))
      for (const [i, envelope] of given.entries()) expect(await store.content(1 + 2 * i), String(i)).toEqual(envelope)
    })

    test("each leaf is proved to be in the tree, and each tree in what follows", async () => {
      for (let i = 0; i < 600; i++) await store.keep("pin", bytes(String(i)), i)
      const { size, root } = await store.treeHead()
      const kept = await store.leaves(0, 600)
      for (const { position, leaf } of kept.filter((_, i) => i % 37 === 0))
        expect(
          includes(size, root, {
            index: position,
            leaf: leafHash(writeLeaf(leaf)),
            proof: await store.inclusion(position, size),
          }),
        ).toBe(true)
      const hashes = kept.map(({ leaf }) => leafHash(writeLeaf(leaf)))
      for (const older of [1, 2, 255, 256, 257, 512, 599, 600]) {
        const head = { size: older, root: rootOver(hashes.slice(0, older)) }
        expect(consistent(head, { size, root }, await store.consistency(older, size)), String(older)).toBe(true)
      }
      expect(await store.tile(1, 0, 2)).toHaveLength(64)
    })

    test("of checkpoints the newest is kept, and those that others stand behind", async () => {
      const anchor = (size: number) => ({ size, at: size, checkpoint: bytes(String(size)), timestamp: null })
      await store.anchor(anchor(1), false)
      await store.anchor(anchor(2), true)
      await store.anchor({ ...anchor(3), timestamp: bytes("stamp") }, false)
      for (const size of [4, 5]) await store.anchor(anchor(size), false)
      expect((await store.newestAnchor())?.size).toBe(5)
      const over = async (size: number) => (await store.anchorOver(size))?.size
      expect([await over(1), await over(2), await over(3), await over(4), await over(6)]).toEqual([
        2,
        2,
        3,
        5,
        undefined,
      ])
      await store.anchor({ ...anchor(5), timestamp: bytes("late") }, true)
      expect(text((await store.newestAnchor())?.timestamp ?? bytes(""))).toBe("late")
    })
  })
}
