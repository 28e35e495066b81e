/**
 * Whose word is it that a TPM is one, and who is let go? The commands of an operator on a real collector, and the certificates of
 * a software TPM whose authority a named person admits.
 */
import { execFileSync } from "node:child_process"
import { checkPrimeSync, generateKeyPairSync } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import { makerRoots } from "../attestation/tcg/makers.ts"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { paths } from "../attestation/protocol/message.ts"
import { fromBase64, toBase64, toHex } from "../attestation/wire/text.ts"
import { exits } from "../cli/exit.ts"
import { activate, certifiedIdentityOf, enrol, hello, identityOf, Line, submit } from "./collector-attester.ts"
import { Attester } from "./collector-chain.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { measurement, rsaEkHandle } from "./evidence-maker.ts"
import { record } from "./recorder.ts"
import { swtpmAuthority } from "./swtpm.ts"

let folder: string
let house: House
let one: Attester

beforeAll(async () => {
  one = await Attester.start()
  await one.machine.append(measurement("a"))
})
afterAll(() => one.stop())
beforeEach(async () => {
  folder = temporaryFolder()
  house = await startHouse(folder)
  const places = { state: join(folder, "state"), runtime: join(folder, "run") }
  writeFileSync(join(folder, "collector.toml"), `state = "${places.state}"\nruntime = "${places.runtime}"\n`)
})
afterEach(async () => {
  await house.stop()
  removeFolder(folder)
})

/** Runs a command of the operator. */
const run = (...argv: readonly string[]) => record([...argv, "--config", join(folder, "collector.toml")])
async function json(...argv: readonly string[]) {
  const { exit, out, err } = await run(...argv, "--json")
  expect({ exit, err }).toEqual({ exit: exits.good, err: "" })
  return JSON.parse(out)
}
const vouch = ["--by", "Ada Lovelace", "--reason", "our hypervisor"]
const { rootCertificate, issuerCertificate } = swtpmAuthority

/** What OpenSSL calls the certificate. */
const fingerprint = (path: string): string =>
  execFileSync("openssl", ["x509", "-in", path, "-noout", "-fingerprint", "-sha256"], { encoding: "utf8" })
    .replace(/^.*=/, "")
    .replaceAll(":", "")
    .trim()
    .toLowerCase()

const standing = async () => house.admin.call("status", { attester: one.attester })
async function joinCertified(): Promise<Line> {
  const identity = await certifiedIdentityOf(one.machine)
  const line = await enrol(one.machine, await invitationFrom(house), "gpu-1", identity)
  await one.prove(line)
  return line
}

test("C10 a root that is not listed needs a named person; then what it issued leads to it, and results say so", async () => {
  const refused = await run("roots", "add", rootCertificate)
  expect(refused).toMatchObject({ exit: exits.failed, err: expect.stringContaining("no listed maker's root") })
  expect(await run("roots", "add", rootCertificate, "--by", "Ada")).toMatchObject({ exit: exits.misuse })
  expect(await json("roots", "list")).toEqual({ certificates: [] })

  const added = await json("roots", "add", rootCertificate, ...vouch)
  const approval = { by: "Ada Lovelace", reason: "our hypervisor" }
  expect(added.certificates).toMatchObject([
    { kind: "admitted", certificate: { fingerprint: fingerprint(rootCertificate), role: "root", approval } },
  ])
  const below = await json("roots", "add", issuerCertificate)
  expect(below.certificates).toMatchObject([{ kind: "admitted", certificate: { role: "intermediate", approval } }])
  expect((await json("roots", "add", issuerCertificate)).certificates).toMatchObject([{ kind: "known" }])

  await joinCertified()
  const { enrolled, answer } = await standing()
  expect(enrolled.endorsement).toMatchObject({ kind: "endorsed", root: fingerprint(rootCertificate), approval })
  expect(answer?.findings.map(each => each.id)).not.toContain("root.unendorsed")
  expect(answer?.says.find(each => each.name === "tpm")?.says).toMatch(/certified by .* Ada Lovelace admitted: our hyp/)
  const { out } = await run("attesters")
  expect(out).toContain(one.attester)
  expect(out).toContain("which Ada Lovelace admitted")

  const { exit } = await run("roots", "withdraw", fingerprint(rootCertificate), "--by", "Karl", "--reason", "leaked")
  expect(exit).toBe(exits.good)
  expect((await standing()).enrolled.endorsement).toMatchObject({
    kind: "unanchored",
    why: expect.stringMatching(/Karl withdrew: leaked/),
  })
})

test("C10 a certificate that leads nowhere endorses nobody, and it is said why", async () => {
  await joinCertified()
  const { enrolled, answer } = await standing()
  expect(enrolled.endorsement).toMatchObject({ kind: "unanchored", why: expect.stringContaining("nobody admitted") })
  expect(answer?.findings).toContainEqual(
    expect.objectContaining({ id: "root.unendorsed", seen: expect.stringContaining("nobody admitted") }),
  )
})

test("C10 the certificate of another TPM of the same maker endorses nobody", async () => {
  for (const path of [rootCertificate, issuerCertificate]) await json("roots", "add", path, ...vouch)
  const other = await Attester.start("second")
  try {
    const { ekCertificate } = await certifiedIdentityOf(other.machine)
    const borrowed = { ...identityOf(one.machine), ekCertificate }
    await one.prove(await enrol(one.machine, await invitationFrom(house), "gpu-1", borrowed))
    expect((await standing()).enrolled.endorsement).toEqual({
      kind: "unanchored",
      why: "is for another key than the EK",
    })
  } finally {
    await other.stop()
  }
})

test("C11 the certificate is kept as it came, head and padding included, and still leads to its root", async () => {
  for (const path of [rootCertificate, issuerCertificate]) await json("roots", "add", path, ...vouch)
  const identity = await certifiedIdentityOf(one.machine)
  const der = fromBase64(identity.ekCertificate ?? "")
  const size = Buffer.alloc(2)
  size.writeUInt16BE(der.length + 2)
  const stored = Buffer.concat([Buffer.from([0x10, 0x01, 0]), size, Buffer.from([0x10, 0x02]), der, Buffer.alloc(99)])
  const ekCertificate = stored.toString("base64")
  await one.prove(await enrol(one.machine, await invitationFrom(house), "gpu-1", { ...identity, ekCertificate }))
  expect((await standing()).enrolled.endorsement).toMatchObject({ kind: "endorsed" })
  const exported = await house.admin.call("export", { attester: one.attester, evidence: "newest" })
  expect(exported.identity.ekCertificate).toBe(ekCertificate)
})

test("C14 who is retired is refused and shown, and comes back only by name", async () => {
  const line = await joinCertified()
  expect(await run("retire", "gpu-1", "--by", "Karl", "--reason", "sold")).toMatchObject({ exit: exits.good })
  expect((await line.ending()).reason).toMatch("retired")
  expect(await run("retire", "gpu-1", "--by", "Karl", "--reason", "sold")).toMatchObject({ exit: exits.failed })
  expect(await standing()).toMatchObject({
    retired: { by: "Karl", reason: "sold" },
    standing: { retired: true, connected: false },
  })
  const shown = await record(["status", "gpu-1", "--collector-config", join(folder, "collector.toml")])
  expect(shown).toMatchObject({ exit: exits.unacceptable, out: expect.stringMatching(/retired .* by Karl: sold/) })

  const { invitation: asking } = await json("invite", "--by", "Karl", "--verifier", "auditor")
  const verifier = await Line.dial(house.collector.port, paths.verifier)
  const token = toBase64(readInvitation(asking).token)
  await verifier.send({ type: "who", token, attester: one.attester })
  expect((await verifier.next("declined")).reason).toContain("retired by Karl")
  verifier.close()

  const again = await Line.dial(house.collector.port)
  const challenge = await hello(again, one.machine)
  await submit(again, challenge.id, await one.answer(again, challenge))
  expect((await again.next("refused")).findings.map(each => each.id)).toEqual(["attester.retired"])

  await expect(enrol(one.machine, await invitationFrom(house))).rejects.toThrow("retired by Karl")
  const accepted = ["--accept-ek", one.attester, "--reason", "bought back"]
  const { invitation } = await json("invite", "--by", "Ada Lovelace", ...accepted)
  await one.prove(await enrol(one.machine, invitation))
  expect(await standing()).toMatchObject({ retired: null, enrolled: { number: 2, endorsement: { kind: "accepted" } } })
})

test("C14 a second EK with the same AK is recorded as another name of the machine, which stays one", async () => {
  await joinCertified()
  const { tpm } = one.machine
  await tpm.tool("tpm2_readpublic", "-Q", "-c", rsaEkHandle, "-o", "rsa.pub")
  const ekPublic = one.machine.file("rsa.pub").subarray(2)
  const alias = toHex(nameOf(readPublic(ekPublic)))
  const identity = { ...identityOf(one.machine), attester: alias, ekPublic: toBase64(ekPublic) }
  const { token } = readInvitation(await invitationFrom(house))
  const line = await Line.dial(house.collector.port)
  await line.send({ type: "enrol", invitation: toBase64(token), identity, label: "gpu-1" })
  await tpm.tool("tpm2_startauthsession", "-Q", "--policy-session", "-S", "policy")
  await tpm.tool("tpm2_policysecret", "-Q", "-S", "policy", "-c", "e")
  const key = ["-C", rsaEkHandle, "-P", "session:policy"]
  const secret = await activate(one.machine, await line.next("credential"), key)
  await tpm.tool("tpm2_flushcontext", "policy")
  await line.send({ type: "activated", secret: toBase64(secret), audit: null })
  expect((await line.ending()).reason).toContain(one.attester)
  expect(await standing()).toMatchObject({ aliases: [alias] })
  const shown = await record(["status", one.attester, "--collector-config", join(folder, "collector.toml")])
  expect(shown.out).toContain(`${alias}, another EK of the same TPM`)
  expect((await json("attesters")).attesters).toHaveLength(1)
})

test("C15 an invitation whose answer was lost gives the same enrolment again, to the same keys only", async () => {
  const invitation = await invitationFrom(house)
  await enrol(one.machine, invitation)
  await enrol(one.machine, invitation)
  expect((await standing()).enrolled.number).toBe(1)
  const evidenceKey = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }).x ?? ""
  const others = { ...identityOf(one.machine), evidenceKey: Buffer.from(evidenceKey, "base64url").toString("base64") }
  await expect(enrol(one.machine, invitation, "gpu-1", others)).rejects.toThrow("goodbye")
  expect((await standing()).enrolled.number).toBe(1)
})

test("C12 an EK of the broken generator, or of a small exponent, is refused with the reason", async () => {
  const { token } = readInvitation(await invitationFrom(house))
  const refusal = async (ekPublic: Uint8Array): Promise<string> => {
    const attester = toHex(nameOf(readPublic(ekPublic)))
    const identity = { ...identityOf(one.machine), attester, ekPublic: toBase64(ekPublic) }
    const line = await Line.dial(house.collector.port)
    await line.send({ type: "enrol", invitation: toBase64(token), identity, label: "gpu-1" })
    return (await line.ending()).reason
  }
  expect(await refusal(rsaEk(broken, 0))).toContain("comes from a broken generator (CVE-2017-15361)")
  expect(await refusal(rsaEk(sound, 3))).toContain("the EK has the exponent 3")
})

/** TPMT_PUBLIC of an EK by the template that TPMs use. */
function rsaEk(modulus: Uint8Array, exponent: number): Uint8Array {
  const fixed = `0001000b000300b20020${"00".repeat(32)}000600800043001008000000000${exponent}0100`
  return new Uint8Array(Buffer.concat([Buffer.from(fixed, "hex"), modulus]))
}

const { n: some = "" } = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" })
const sound = new Uint8Array(Buffer.from(some, "base64url"))

/** As the broken library made keys: primes k·M + (65537^a mod M), M the product of the first 126 primes. */
const broken = ((): Uint8Array => {
  const sieve = [...Array(702).keys()].filter(
    n => n > 1 && ![2, 3, 5, 7, 11, 13, 17, 19, 23].some(d => d < n && n % d === 0),
  )
  const product = sieve.reduce((m, n) => m * BigInt(n), 1n)
  const prime = (a: number): bigint => {
    let power = 1n
    for (let i = 0; i < a; i++) power = (power * 65_537n) % product
    for (let k = (3n << 1022n) / product; ; k++) if (checkPrimeSync(k * product + power)) return k * product + power
  }
  return new Uint8Array(Buffer.from((prime(17) * prime(99)).toString(16), "hex"))
})()

test("C15 invitations are listed with what became of them", async () => {
  const { id } = await json("invite", "--by", "Ada Lovelace", "--machine", "w1")
  await json("invite", "--by", "Karl", "--verifier", "auditor")
  expect(await run("revoke", id, "--by", "Olga")).toMatchObject({ exit: exits.good })
  const { invitations } = await json("invitations")
  expect(invitations).toHaveLength(2)
  expect(invitations).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ id, purpose: "attester", name: "w1", by: "Ada Lovelace", state: "revoked" }),
      expect.objectContaining({ purpose: "verifier", name: "auditor", by: "Karl", state: "open" }),
    ]),
  )
  const { out } = await run("invitations")
  expect(out).toMatch(/revoked {3}attester w1, by Ada Lovelace/)
})

test("C10 the table of makers' roots is shown without a collector", async () => {
  const { roots } = await json("roots", "list", "--known")
  expect(roots).toEqual(makerRoots)
  expect(roots).toContainEqual(
    expect.objectContaining({ maker: "Infineon", subject: "Infineon OPTIGA(TM) ECC Root CA" }),
  )
})

const makers = join(import.meta.dirname, "../../shared/vectors/keylime/tpm_cert_store")

test("C10 of makers' certificates, those that lead to a listed root are admitted", async () => {
  const { exit, out } = await run("roots", "add", makers, "--json")
  const { certificates } = JSON.parse(out)
  const count = (kind: string, role?: string): number =>
    certificates.filter(
      (each: { kind: string; certificate?: { role: string } }) => each.kind === kind && each.certificate?.role === role,
    ).length
  expect(exit).toBe(exits.failed)
  expect(count("admitted", "root")).toBe(makerRoots.length)
  expect(count("admitted", "intermediate")).toBeGreaterThan(12)
  const refused = certificates.filter((each: { kind: string }) => each.kind === "refused")
  for (const { why } of refused) expect(why).toMatch(/nobody admitted|SHA-1|expired/)
  const { out: list } = await run("roots", "list")
  expect(list).toMatch(/intermediate {1,}[0-9a-f]{64} {2}Infineon, listed/)
})

test("C10 a folder is admitted as far as it leads somewhere, and what does not is named", async () => {
  const path = join(folder, "maker")
  execFileSync("mkdir", [path])
  writeFileSync(join(path, "a.pem"), readFileSync(issuerCertificate))
  writeFileSync(join(path, "b.pem"), readFileSync(rootCertificate))
  writeFileSync(join(path, "notes.txt"), "no certificate")
  const vouched = await json("roots", "add", path, ...vouch)
  expect(vouched.certificates.map((each: { certificate: { role: string } }) => each.certificate.role)).toEqual([
    "root",
    "intermediate",
  ])
  writeFileSync(join(path, "c.der"), Buffer.from([0x30, 0x03, 2, 1]))
  const { exit, err } = await run("roots", "add", path)
  expect(exit).toBe(exits.failed)
  expect(err).toContain("c.der cannot be read")
})
