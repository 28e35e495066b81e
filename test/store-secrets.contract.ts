/** What must every store do with secrets? Each condition of a release alone. Called by store.contract.ts. */
import { randomBytes } from "node:crypto"
import { expect, test } from "vitest"
import type { Entry, Nonce, Store } from "../collector/store.ts"
import type { Secret, Wish } from "../collector/secret.ts"

const bytes = (of: string): Uint8Array => new Uint8Array(Buffer.from(of, "utf8"))
const plain = bytes("the secret")

/** What the contract lends: a new store for each test, an attester that is enrolled in it, and how its evidence and nonces are made. */
export type Lent = {
  readonly store: () => Store
  readonly enrolled: () => Promise<string>
  readonly enrolAgain: (attester: string) => Promise<void>
  readonly entry: (attester: string, more: Partial<Entry> & { readonly version?: number }) => Entry
  readonly nonceFor: (attester: string, more: Partial<Nonce>) => Nonce
}

export function describeSecrets({ store, enrolled, enrolAgain, entry, nonceFor }: Lent): void {
  const secretOf = (attester: string, more: Partial<Secret> = {}): Secret => ({
    ...{ attester, name: "disk-key", tier: "affirming", by: "Olga", reason: "why", at: 2500, ...more },
  })

  type Answer = { tier?: Entry["tier"]; state?: Entry["standing"]["after"]["state"]; asked?: number; timely?: boolean }

  /** A machine with a secret that has answered; the wish that this answer stands behind. */
  async function answered(secret: Partial<Secret>, answer: Answer = {}): Promise<Wish> {
    const { tier = "affirming", state = "affirming", asked = 3000, timely = true } = answer
    const attester = await enrolled()
    await store().putSecret(secretOf(attester, secret), bytes("sealed"))
    const nonce = nonceFor(attester, { issued: asked })
    await store().issue(nonce)
    const standing = { version: 0, after: { state, resetCount: 1, fresh: asked, under: null } }
    const given = entry(attester, { kind: "answer", timely, nonce: nonce.nonce, asked, tier, standing })
    expect(await store().record(given)).toBe("recorded")
    return { attester, name: "disk-key", evidence: given.digest, since: 3000, at: 3500 }
  }
  const releaseOf = (wish: Wish) =>
    store().release(wish, (_, sealed) => (Buffer.from(sealed).toString() === "sealed" ? plain : undefined))
  const kinds = async (): Promise<string[]> => (await store().leaves(0, 100)).map(({ leaf }) => leaf.kind)

  test("C36 a release gives the bytes, and its leaf; one piece of evidence releases once", async () => {
    const wish = await answered({})
    expect(await releaseOf(wish)).toEqual({ kind: "granted", secret: plain, enrolment: 1 })
    expect((await kinds()).slice(-1)).toEqual(["secret-released"])
    expect(await store().secrets()).toMatchObject([{ name: "disk-key", releases: 1, last: 3500 }])
    expect(await releaseOf({ ...wish, at: 3600 })).toMatchObject({ why: "unanswered" })
    expect((await kinds()).slice(-1)).toEqual(["secret-withheld"])
  })

  test("C36 the bytes are asked for before the entry, and where they cannot be opened there is none of a release", async () => {
    const wish = await answered({})
    const before = await kinds()
    expect(await store().release(wish, () => undefined)).toEqual({ kind: "withheld", why: "sealed" })
    expect((await kinds()).slice(before.length)).toEqual(["secret-withheld"])
    const failing = (): never => {
      throw new Error("the disk is gone")
    }
    await expect(store().release({ ...wish, at: 3600 }, failing)).rejects.toThrow("the disk is gone")
    expect((await kinds()).slice(before.length)).toEqual(["secret-withheld"])
  })

  test.each([
    ["C35 a nonce that is older than the wish", {}, { asked: 2999 }, "unanswered"],
    ["C35 a late answer", {}, { timely: false }, "unanswered"],
    ["C35 a warning where affirming is wanted", {}, { tier: "warning" }, "tier"],
    ["C35 a contraindication", { tier: "warning" }, { tier: "contraindicated" }, "tier"],
    ["C35 a verdict without a tier", { tier: "warning" }, { tier: "none" }, "tier"],
    [
      "C35 a machine that stands contraindicated, whatever it answers now",
      {},
      { state: "contraindicated" },
      "standing",
    ],
    ["C35 a machine of which nothing is known", { tier: "warning" }, { state: "unknown" }, "standing"],
  ] as const)("%s releases nothing", async (_, secret, answer, why) => {
    expect(await releaseOf(await answered(secret, answer))).toMatchObject({ kind: "withheld", why })
    expect(await store().secrets()).toMatchObject([{ releases: 0, last: null }])
    expect((await kinds()).slice(-1)).toEqual(["secret-withheld"])
  })

  test("a warning releases what was put for a warning", async () => {
    const wish = await answered({ tier: "warning" }, { tier: "warning", state: "warning" })
    expect(await releaseOf(wish)).toMatchObject({ kind: "granted" })
  })

  test("another attester's evidence, or its secret, releases nothing", async () => {
    const [one, two] = [await answered({}), await answered({ name: "theirs" })]
    expect(await releaseOf({ ...one, evidence: two.evidence })).toMatchObject({ why: "unanswered" })
    expect(await releaseOf({ ...one, name: "theirs" })).toEqual({ kind: "withheld", why: "unknown" })
    expect(
      (await kinds()).filter(kind => kind === "secret-withheld"),
      "what is unknown leaves no entry",
    ).toHaveLength(1)
  })

  test("a machine that was retired, or joined anew since it answered, gets nothing", async () => {
    const retired = await answered({})
    await store().retire(retired.attester, { by: "Olga", reason: "sold" }, 3400)
    expect(await releaseOf(retired)).toMatchObject({ why: "retired" })
    const again = await answered({})
    await enrolAgain(again.attester)
    expect(await releaseOf(again)).toMatchObject({ why: "unanswered" })
  })

  test("what is withdrawn or replaced is forgotten; that it was there is not", async () => {
    const { attester } = await answered({})
    expect(await store().putSecret(secretOf(attester, { at: 2600 }), bytes("other"))).toBe(true)
    expect(await store().secrets()).toMatchObject([{ at: 2600 }])
    const decision = { by: "Olga", reason: randomBytes(4).toString("hex") }
    expect(await store().withdrawSecret(attester, "disk-key", decision, 2700)).toBe(true)
    expect(await store().withdrawSecret(attester, "disk-key", decision, 2800)).toBe(false)
    expect(await store().secrets()).toEqual([])
    expect(await store().putSecret(secretOf(attester, { at: 2900 }), bytes("sealed"))).toBe(false)
    expect((await kinds()).filter(kind => kind.startsWith("secret"))).toEqual([
      ...["secret-put", "secret-put", "secret-withdrawn", "secret-put"],
    ])
  })
}
