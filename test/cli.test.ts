/** What do people and scripts read of the `assay` command? Golden sessions: bless with `vitest run test/cli.test.ts --update`. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { commands } from "../cli/commands.ts"
import { exits } from "../cli/exit.ts"
import { record, session } from "./recorder.ts"

const golden = (name: string): string => join(import.meta.dirname, "golden", `${name}.txt`)
const files = "test/golden/files"
const nonce = "6b".repeat(32)
const known = [`${files}/answer`, "--ak", `${files}/answer/ak.pub`]

/** Session name → command line. */
const sessions: Readonly<Record<string, readonly string[]>> = {
  "verify-good": ["verify", ...known, "--nonce", nonce, "--reference", `${files}/reference.json`],
  "verify-alone": ["verify", ...known, "--nonce", nonce],
  "verify-differs": ["verify", ...known, "--nonce", nonce, "--reference", `${files}/reference-before.json`],
  "verify-other-nonce": ["verify", ...known, "--nonce", "00".repeat(32)],
  "verify-history": ["verify", `${files}/report`, "--ak", `${files}/report/ak.pub`, "--history"],
  "verify-json": ["verify", ...known, "--nonce", nonce, "--reference", `${files}/reference.json`, "--json"],
  "verify-no-nonce": ["verify", ...known],
  "verify-short-nonce": ["verify", ...known, "--nonce", "6b"],
  "verify-strict": ["verify", ...known, "--nonce", nonce, "--strict", "--json"],
  show: ["show", `${files}/answer`],
  "show-nothing": ["show", `${files}/nothing`],
  "unknown-command": ["verif"],
  "unknown-option": ["verify", "x", "--akk", "y"],
  "no-command": [],
  help: ["--help"],
}

describe("golden sessions", () => {
  for (const [name, argv] of Object.entries(sessions))
    test(name, async () => {
      await expect(await session(argv)).toMatchFileSnapshot(golden(name))
    })

  for (const { name } of commands)
    test(`${name} --help teaches`, async () => {
      const { exit, out } = await record([...name.split(" "), "--help"])
      expect(exit).toBe(0)
      expect(out).toContain("Example:")
      expect(out).toContain("Exit codes:")
    })

  test("a group that has a list lists when it is named alone", async () => {
    for (const word of ["gaps", "pin", "roots", "secret"]) {
      const missing = ["--config", join(files, "no.toml")]
      expect(await record([word, ...missing])).toEqual(await record([word, "list", ...missing]))
      expect((await record([word, "--help"])).out).toContain("list")
    }
    expect((await record(["policy"])).err).toContain("assay policy does nothing by itself")
  })

  test("colours follow the verdict where a person watches", async () => {
    const argv = ["verify", ...known, "--nonce", nonce, "--reference", `${files}/reference-before.json`]
    const shown = (await session(argv, { watched: true })).replaceAll("\u001b", "␛")
    await expect(shown).toMatchFileSnapshot(golden("verify-differs-in-colour"))
  })
})

describe("verify judges what is in the files", () => {
  let folder = ""
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "assay-cli-"))))
  afterAll(() => rmSync(folder, { recursive: true }))

  /** A copy of the answer in which `change` has altered a file. */
  function altered(file: string, change: (bytes: Buffer) => void): string {
    const copy = mkdtempSync(join(folder, "copy-"))
    cpSync(`${files}/answer`, copy, { recursive: true })
    const bytes = readFileSync(join(copy, file))
    change(bytes)
    writeFileSync(join(copy, file), bytes)
    return copy
  }
  const pinned = ["--ak", `${files}/answer/ak.pub`, "--nonce", nonce]

  test("an altered log is not authentic", async () => {
    const copy = altered("assay.cel", bytes => bytes.write("7", bytes.indexOf("amd64") - 4))
    expect(await record(["verify", copy, ...pinned])).toMatchObject({
      exit: exits.unauthentic,
      out: expect.stringContaining("log.digest"),
    })
  })

  test("an envelope that is none is not authentic, and no exception", async () => {
    const copy = altered("evidence.dsse.json", bytes => bytes.fill(0x20))
    expect(await record(["verify", copy, ...pinned])).toMatchObject({
      exit: exits.unauthentic,
      out: expect.stringContaining("evidence.malformed"),
      err: "",
    })
  })

  test("a PCR that the quote does not cover is asked for", async () => {
    const { exit, out } = await record(["verify", ...known, "--nonce", nonce, "--pcrs", "0,4", "--json"])
    expect(exit).toBe(exits.unauthentic)
    expect(JSON.parse(out).findings).toContainEqual(expect.objectContaining({ id: "quote.selection" }))
  })

  test("another attester's name is not authentic", async () => {
    const { exit, out } = await record(["verify", ...known, "--nonce", nonce, "--attester", `000b${"00".repeat(32)}`])
    expect(exit).toBe(exits.unauthentic)
    expect(out).toContain("evidence.attester")
  })

  test("the clock of the caller counts: evidence from the future is a warning", async () => {
    const { exit, out } = await record(["verify", ...known, "--nonce", nonce, "--at", "2020-01-01T00:00:00Z"])
    expect(exit).toBe(exits.good)
    expect(out).toContain("time.ahead")
  })

  test("a contraindicated verdict has its own exit code", async () => {
    const reference = ["--reference", `${files}/reference-before.json`]
    expect(await record(["verify", ...known, "--nonce", nonce, ...reference])).toMatchObject({
      exit: exits.unacceptable,
    })
  })

  test("files larger than the format allows are refused before they are read", async () => {
    const copy = altered("evidence.dsse.json", () => undefined)
    writeFileSync(join(copy, "evidence.dsse.json"), Buffer.alloc((1 << 19) + 1))
    expect(await record(["verify", copy, ...pinned])).toMatchObject({
      exit: exits.failed,
      err: expect.stringContaining("is larger than"),
    })
  })
})
