/**
 * Who answers for the machine of the main job? Three people with a key each, sealed by a passphrase; a policy by which two must
 * approve what the third proposes; and the firm's root key, which certifies machines. What they approve: `approvals.ts`.
 */
import { createHash, randomBytes, X509Certificate } from "node:crypto"
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { readNote, textDigest } from "../../attestation/pins/note.ts"
import type { Act } from "./act.ts"
import { type House, tellPolicyRoot } from "./house.ts"
import { runTyped } from "./typist.ts"

/** Each with what they answer for. The fourth key is Mei's too: the firm's. */
const people = { ada: "Ada Lovelace", grace: "Grace Hopper", mei: "Mei Lin" } as const
export type Person = keyof typeof people
const keys = { ...people, root: people.mei } as const
export type Key = keyof typeof keys

/** What the pins are called, and what the policy is. */
const names = { policy: "demo.example/policy", pins: "demo.example/pins/workstation" } as const

const folderOf = ({ room }: House): string => join(room, "people")
export const keyFile = (house: House, key: Key): string => join(folderOf(house), `${key}.key`)
const passphraseFile = (house: House, key: Key): string => join(folderOf(house), `${key}.passphrase`)
export const policyFile = (house: House): string => join(folderOf(house), "1.policy")

/** Runs `assay ARGS` while the holder of `key` sits at the terminal. */
export const signing = ({ house, signal }: Act, key: Key, args: readonly string[]): Promise<void> =>
  runTyped(args, readFileSync(passphraseFile(house, key), "utf8"), signal)

/**
 * A key for each, made at once, and the first policy, approved by the three of them. Gives the digest of its text, which verifiers are
 * told out of band. The passphrases lie beside the keys, where a person would have them in mind.
 */
export async function agree(act: Act): Promise<string> {
  mkdirSync(folderOf(act.house), { mode: 0o700 })
  await Promise.all([makeKey(act, "ada"), makeKey(act, "grace"), makeKey(act, "mei"), makeKey(act, "root")])
  const path = policyFile(act.house)
  await signing(act, "ada", ["policy", "init", names.policy, ...policyOptions(act.house), "--out", path])
  for (const key of ["grace", "mei"] as const)
    await signing(act, key, ["policy", "approve", path, "--key", keyFile(act.house, key)])
  return textDigest(readNote(new Uint8Array(readFileSync(path))).text)
}

function makeKey(act: Act, key: Key): Promise<void> {
  writeFileSync(passphraseFile(act.house, key), randomBytes(12).toString("base64url"), { mode: 0o600 })
  const person = key === "root" ? "mei" : key
  const called = ["--name", people[person], "--key-name", `demo.example/${key}`, "--out", keyFile(act.house, key)]
  return signing(act, key, ["key", "new", person, ...called])
}

/** Waits for them to have agreed, and tells the collector the root of their policy. */
export const meetPeople = ({ house, steps }: Act, agreeing: Promise<string>): Promise<void> =>
  steps.step("people", async going => {
    going("make their keys, and approve a policy")
    tellPolicyRoot(house, await agreeing)
    return ["Ada, Grace, Mei; two approve what the third proposes", undefined]
  })

function policyOptions(house: House): string[] {
  const { authority } = house
  const certificate = new X509Certificate(readFileSync(join(authority, "swtpm-localca-rootca-cert.pem")))
  const root = createHash("sha256").update(certificate.raw).digest("hex")
  return [
    ...["--person", ...(["ada", "grace", "mei"] as const).map(key => keyFile(house, key))],
    ...["--root", keyFile(house, "root"), "--quorum", "2", "--pins", names.pins],
    ...["--role", "weights=ada", "runtime=grace", "key=mei"],
    ...["--admit", `root sha256:${root} software mei for this demonstration only`],
    ...["--key", keyFile(house, "ada"), "--change", "the first policy"],
  ]
}

/** Gives the policy to the collector, and the certificates of the software TPM's maker, for which Mei vouches by name. */
export async function publishPolicy({ house, run }: Act): Promise<void> {
  const config = ["--config", house.collector]
  const roots = join(house.room, "roots")
  mkdirSync(roots)
  for (const file of ["swtpm-localca-rootca-cert.pem", "issuercert.pem"])
    cpSync(join(house.authority, file), join(roots, file))
  await run(["policy", "publish", policyFile(house), ...config])
  await run(["roots", "add", roots, "--by", people.mei, "--reason", "this demonstration", ...config])
}
