/** With which key does a person sign? Made here, sealed by a passphrase, shown without it. What it signs: `pin.ts`, `policy.ts`. */
import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { z } from "zod"
import { writeVerifierKey } from "../attestation/pins/note.ts"
import { asJson, command } from "./command.ts"
import { Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { readKey } from "./governance.ts"
import { newKeyFile } from "./key-file.ts"
import { chooseNewPassphrase } from "./passphrase.ts"
import { remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

const personId = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, "not a short name like ada")
const keyName = z.string().regex(/^[!-*,-~]{1,128}$/, "not a name like firm.example/ada")
const personName = z.string().regex(/^[!-~]([ -~]{0,298}[!-~])?$/, "not a name in plain ASCII")

export const keyNew = command({
  name: "key new",
  says: "make a signing key for a person, sealed by a passphrase",
  teaches:
    "Makes an Ed25519 key and seals it with a passphrase that is asked for on the terminal. The line that it prints is the " +
    "public key, for the policy; the file is yours alone. What is lost with file or passphrase, the others replace by a policy.",
  takes: [["<person>", "what a policy calls you, like ada"]],
  options: [
    ["--name <name>", "your name, as approvals show it"],
    ["--key-name <name>", "what the key is called, like firm.example/ada"],
    ["--out <file>", "the file to write, which must not be there"],
  ],
  examples: ["assay key new ada --name 'Ada Lovelace' --key-name firm.example/ada --out ada.key"],
  exits: ["good", "failed", "misuse", "missing"],
  reads: z.object({ person: personId, name: personName, keyName, out: text }),
  run: async ({ person, name, keyName, out }, terminal) => {
    if (existsSync(out))
      throw new Problem("failed", `${out} is there already`, "name another file; a key is never overwritten")
    const { text: file, key } = newKeyFile({ person, named: name, name: keyName }, await chooseNewPassphrase(out))
    await writeFile(out, file, { mode: 0o600, flag: "wx" })
    terminal.out.write(`${person} ${writeVerifierKey(key)} ${name}\n`)
    remark(terminal, `${out} holds the key; keep a copy, and the passphrase elsewhere`)
    return "good"
  },
})

export const keyShow = command({
  name: "key show",
  says: "print the public line of a key file, without its passphrase",
  teaches: "Prints person, public key and name, as a policy is given them.",
  takes: [["<file>", "a key file"]],
  options: [asJson],
  examples: ["assay key show ada.key"],
  exits: ["good", "failed", "misuse"],
  reads: z.object({ file: text, json: flag }),
  run: async ({ file, json }, terminal) => {
    const { key, person, named } = await readKey(file)
    if (json) writeJsonLine(terminal, { person, name: named, key: writeVerifierKey(key), custody: "file" })
    else {
      row(terminal.out, "person", `${person}, ${named}`)
      row(terminal.out, "key", writeVerifierKey(key))
      row(terminal.out, "custody", "file, sealed by a passphrase")
    }
    return "good"
  },
})
