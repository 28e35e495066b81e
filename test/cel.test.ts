/** Does our event log say what a TPM holds: digests by coreutils, replay by tpm2_pcrread after tpm2_pcrextend of them? */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type CelRecord, celLimits, celRecord, readCel, replayCel, writeCelLine } from "../attestation/tcg/cel.ts"
import { zero } from "../attestation/tcg/pcr.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { toHex } from "../attestation/wire/text.ts"
import { digestBy, output } from "./foreign.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

const contents = ["{}", "", "größe 𝄞", '"quoted" \\ back', "line\nbreak", "\u0000"]
const banks = ["sha256", "sha384"] as const
const records = contents.map((content, i) => celRecord(i, 23, banks, content))
const logOf = (entries: readonly CelRecord[]): Uint8Array => new Uint8Array(Buffer.concat(entries.map(writeCelLine)))
const line = (change: (record: Record<string, unknown>) => unknown): Uint8Array =>
  Buffer.from(`${JSON.stringify(change(JSON.parse(JSON.stringify(records[0])) as Record<string, unknown>))}\n`)

let tpm: Swtpm
beforeAll(async () => {
  tpm = await startSwtpm()
})
afterAll(() => tpm.stop())

describe("a log", () => {
  test("has the digests of sha256sum and sha384sum over the content that jq reads", () => {
    for (const { digests, content } of readCel(logOf(records)))
      for (const { hashAlg, digest } of digests) expect(digest).toBe(digestBy(hashAlg, content))
    const text = logOf(records.slice(0, 5))
    const byJq = output("jq", ["-j", ".content"], text).toString()
    expect(byJq).toBe(contents.slice(0, 5).join(""))
  })

  test.each(banks)("replays to what tpm2_pcrread shows in the bank %s", async bank => {
    await tpm.tool("tpm2_pcrreset", "23")
    expect(toHex(replayCel([], 23, bank))).toBe(toHex(zero(bank)))
    for (const [i, { digests }] of records.entries()) {
      await tpm.tool("tpm2_pcrextend", `23:${digests.map(each => `${each.hashAlg}=${each.digest}`).join(",")}`)
      const shown = await tpm.tool("tpm2_pcrread", `${bank}:23`)
      const replayed = toHex(replayCel(readCel(logOf(records)).slice(0, i + 1), 23, bank))
      expect(shown.toLowerCase()).toContain(`: 0x${replayed}`)
    }
  })

  test("is the same bytes when it is written again", () =>
    expect(toHex(logOf(readCel(logOf(records))))).toBe(toHex(logOf(records))))

  test("that is empty has no records", () => expect(readCel(new Uint8Array(0))).toEqual([]))
})

describe("C23 refused", () => {
  const digests = records[0]?.digests ?? []
  test.each(
    Object.entries<(record: Record<string, unknown>) => unknown>({
      "a number that is not its place": record => ({ ...record, recnum: 1 }),
      "a digest that is not of its content": record => ({ ...record, content: "{} " }),
      "a digest of another size": record => ({ ...record, digests: [{ hashAlg: "sha256", digest: "00".repeat(20) }] }),
      "an unknown bank": record => ({ ...record, digests: [{ hashAlg: "sm3_256", digest: "00".repeat(32) }] }),
      "no digest": record => ({ ...record, digests: [] }),
      "more digests than banks": record => ({ ...record, digests: [...digests, ...digests, ...digests] }),
      "a bank twice": record => ({ ...record, digests: [...digests, ...digests] }),
      "a PCR that there is not": record => ({ ...record, pcr: 24 }),
      "another type of content": record => ({ ...record, content_type: "pcclient_std" }),
      "a content that is no string": record => ({ ...record, content: {} }),
      "another member": record => ({ ...record, more: 1 }),
      "other order": ({ recnum, ...record }) => ({ ...record, recnum }),
      "half a surrogate pair": record => ({ ...record, content: "\ud834" }),
    }),
  )("%s", (_, change) => expect(() => readCel(line(change))).toThrow(Malformed))

  test("a last record without its end, an empty record, another end of line", () => {
    const one = logOf(records.slice(0, 1))
    expect(() => readCel(one.subarray(0, -1))).toThrow("the log's last record has no end")
    expect(() => readCel(Buffer.concat([one, Buffer.from("\n")]))).toThrow("record 1")
    expect(() => readCel(Buffer.from(Buffer.from(one).toString().replace("\n", "\r\n")))).toThrow("record 0")
  })

  test("more bytes or records than the limits", () => {
    expect(() => readCel(new Uint8Array(celLimits.log + 1))).toThrow("exceeds")
    expect(() => readCel(Buffer.alloc(celLimits.records + 1, "\n"))).toThrow("records exceed")
  })

  test("a record of another PCR or without the bank, on replay", () => {
    expect(() => replayCel(records, 16, "sha256")).toThrow("record 0 is of PCR 23, not 16")
    expect(() => replayCel(records, 23, "sha512")).toThrow("record 0 has no sha512 digest")
  })
})

test("what could not be read back is not written", () => {
  const tooLong = '"'.repeat(celLimits.record / 2)
  expect(() => writeCelLine(celRecord(0, 23, banks, tooLong))).toThrow("exceed the limit")
  expect(() => writeCelLine(celRecord(0, 23, banks, "\ud834"))).toThrow(Malformed)
  expect(() => writeCelLine(celRecord(0, 24, banks, ""))).toThrow(Malformed)
  expect(() => writeCelLine({ ...celRecord(0, 23, banks, ""), content: "other" })).toThrow(
    "digest is not of its content",
  )
})
