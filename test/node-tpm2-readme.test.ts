/** Do the examples of node-tpm2/README.md run? Each as a program of its own, on a software TPM instead of /dev/tpmrm0. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Swtpm, startSwtpm } from "./swtpm.ts"

const PACKAGE = join(import.meta.dirname, "../node-tpm2")
const README = readFileSync(join(PACKAGE, "README.md"), "utf8")
const EXAMPLES = [...README.matchAll(/^## (\w+)\n(?:(?!## ).*\n)*?```ts\n([^`]*(?:`[^`\n]*`[^`]*)*?)\n```/gm)]

const PRINTED: Readonly<Record<string, RegExp>> = {
  Ask: /^made by IBM, firmware \w+\nsha256: 24 PCRs\nsha384: 24 PCRs\n0{64}\n$/,
  Quote: /^145 bytes, signed with 72\n$/,
  Seal: /^32 bytes unsealed\n$/,
  Errors: /^TPM_RC_LOCALITY: this PCR cannot be changed/,
}

let swtpm: Swtpm
beforeAll(async () => {
  swtpm = await startSwtpm({ endorsed: false })
})
afterAll(() => swtpm?.stop())

test("every example is known here", () => {
  expect(EXAMPLES.map(([, title]) => title)).toEqual(Object.keys(PRINTED))
  expect(README.match(/^```ts$/gm)).toHaveLength(EXAMPLES.length)
})

test.each(EXAMPLES.map(([, title = "", code = ""]) => [title, code]))(
  "%s prints what it should",
  async (title, code) => {
    const program = code
      .replace('"node-tpm2"', JSON.stringify(pathToFileURL(join(PACKAGE, "index.ts")).href))
      .replace('"device:/dev/tpmrm0"', JSON.stringify(swtpm.tcti))
      .replace("allowSoftware: false", "allowSoftware: true")
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--input-type=module-typescript",
      "--eval",
      program,
    ])
    expect(stdout).toMatch(PRINTED[title] ?? /^unknown$/)
  },
)
