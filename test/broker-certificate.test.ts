/** Does a certificate kept in a file stand for a TPM that holds none, and for no other? swtpm without certificates, and OpenSSL as its maker. */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { readPublic } from "../attestation/tcg/public.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { killBrokers, startBroker, stopBroker } from "./broker-process.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

let tpm: Swtpm
beforeEach(async () => {
  tpm = await startSwtpm({ endorsed: false })
})
afterEach(async () => {
  await killBrokers()
  await tpm.stop()
})

const openssl = (...args: readonly string[]): void =>
  void execFileSync("openssl", args, { cwd: tpm.directory, stdio: "ignore" })

/** A certificate in PEM for the EK of this kind, as a maker's server gives it. */
async function certified(kind: "rsa" | "ecc"): Promise<string> {
  await tpm.tool("tpm2_createek", "-Q", "-G", kind, "-c", "ek.ctx", "-u", "ek.pem", "-f", "pem")
  await tpm.tool("tpm2_flushcontext", "-t")
  const usage = kind === "rsa" ? "keyEncipherment" : "keyAgreement"
  writeFileSync(
    join(tpm.directory, "x.cnf"),
    `[x]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,${usage}\nextendedKeyUsage=2.23.133.8.1\n`,
  )
  openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "ca.key",
    "-subj",
    "/CN=A maker",
    "-out",
    "ca.pem",
  )
  openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "any.key", "-subj", "/CN=an EK", "-out", "ek.csr")
  const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7", "-extfile", "x.cnf", "-extensions", "x"]
  openssl("x509", "-req", "-in", "ek.csr", "-force_pubkey", "ek.pem", ...by, "-out", `${kind}.pem`)
  openssl("x509", "-in", `${kind}.pem`, "-outform", "der", "-out", `${kind}.der`)
  return join(tpm.directory, `${kind}.pem`)
}

test("C11 a certificate from a file chooses its EK, and is shown as if it stood in the TPM", async () => {
  for (const kind of ["ecc", "rsa"] as const) {
    const broker = startBroker(tpm, { state: kind, ekCertificate: await certified(kind) })
    const { identity } = await broker.call("identity", {})
    expect(readPublic(fromBase64(identity.ekPublic)).kind).toBe(kind)
    const der = new Uint8Array(readFileSync(join(tpm.directory, `${kind}.der`)))
    expect(fromBase64(identity.ekCertificate ?? "")).toEqual(der)
    await stopBroker(broker)
  }
})

test("C11 a certificate for another EK, or none at all, is refused with what to do", async () => {
  const rsa = await certified("rsa")
  const first = startBroker(tpm)
  await first.call("identity", {})
  await stopBroker(first)
  const ecc = await certified("ecc")
  writeFileSync(join(tpm.directory, "none.der"), "no certificate")
  const wrong = {
    [ecc]: "is for another key than the EK",
    [join(tpm.directory, "none.der")]: "holds no EK certificate",
    [join(tpm.directory, "nothing")]: "there is no file",
  }
  for (const [ekCertificate, why] of Object.entries(wrong)) {
    const broker = startBroker(tpm, { ekCertificate })
    expect(await broker.ended).toMatchObject({ code: 78 })
    expect(broker.said()).toContain(why)
    expect(broker.said()).toContain("hint: set tpm.ek_certificate")
  }
  const right = startBroker(tpm, { ekCertificate: rsa })
  expect((await right.call("identity", {})).identity.ekCertificate).not.toBeNull()
})
