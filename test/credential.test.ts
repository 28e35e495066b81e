/** Does a TPM open the credentials that we wrap, and only for the AK and the secret that they are for? */
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Chance, type Credential, makeCredential } from "../attestation/tcg/credential.ts"
import { nameOf, type PublicArea, readPublic } from "../attestation/tcg/public.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { toHex } from "../attestation/wire/text.ts"
import { akHandle, ekHandle, type Machine, rsaEkHandle, startMachine } from "./evidence-maker.ts"

let machine: Machine
let akName: Uint8Array
const p256 = "0x81010002"

beforeAll(async () => {
  machine = await startMachine()
  akName = nameOf(readPublic(machine.keys.ak))
  await machine.tpm.tool("tpm2_createek", "-G", "ecc", "-c", p256, "-u", "p256.pub")
  await machine.tpm.tool("tpm2_flushcontext", "-t")
})
afterAll(() => machine.tpm.stop())

const chances: Record<string, () => Chance> = {
  rsa: () => ({ kind: "rsa", seed: randomBytes(64), mask: randomBytes(64) }),
  p256: () => ephemeral("P-256"),
  p384: () => ephemeral("P-384"),
}
const ephemeral = (namedCurve: string): Chance => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve })
  return { kind: "ecc", ephemeral: new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" })) }
}
const handles: Record<string, string> = { rsa: rsaEkHandle, p256, p384: ekHandle }

async function ekOf(handle: string): Promise<PublicArea> {
  await machine.tpm.tool("tpm2_readpublic", "-Q", "-c", handle, "-o", "ek-some.pub")
  return readPublic(machine.file("ek-some.pub").subarray(2))
}

/** TPM2_ActivateCredential by tpm2-tools, which want both structures in one file of their own. */
async function activated(handle: string, { idObject, encryptedSecret }: Credential): Promise<string> {
  const head = Buffer.from("badcc0de00000001", "hex")
  writeFileSync(join(machine.tpm.directory, "blob"), Buffer.concat([head, idObject, encryptedSecret]))
  await machine.tpm.tool("tpm2_startauthsession", "--policy-session", "-S", "session")
  try {
    await machine.tpm.tool("tpm2_policysecret", "-Q", "-S", "session", "-c", "e")
    const keys = ["-c", akHandle, "-C", handle]
    const auth = handle === ekHandle ? [] : ["-P", "session:session"]
    await machine.tpm.tool("tpm2_activatecredential", "-Q", ...keys, ...auth, "-i", "blob", "-o", "secret")
    return toHex(machine.file("secret"))
  } finally {
    await machine.tpm.tool("tpm2_flushcontext", "session")
  }
}

describe.each(["rsa", "p256", "p384"])("C13 with an EK of kind %s", kind => {
  const handle = handles[kind] ?? ""
  const chance = chances[kind]!

  test("the TPM recovers the secret", async () => {
    const ek = await ekOf(handle)
    for (const length of [32, 1]) {
      const secret = randomBytes(length)
      expect(await activated(handle, makeCredential(ek, akName, secret, chance()))).toBe(toHex(secret))
    }
  })

  test("not for another AK's Name, and not altered", async () => {
    const ek = await ekOf(handle)
    const secret = randomBytes(32)
    const elsewhere = akName.with(10, (akName[10] ?? 0) ^ 1)
    await expect(activated(handle, makeCredential(ek, elsewhere, secret, chance()))).rejects.toThrow("integrity")
    const { idObject, encryptedSecret } = makeCredential(ek, akName, secret, chance())
    const last = idObject.length - 1
    const altered = idObject.with(last, (idObject[last] ?? 0) ^ 1)
    await expect(activated(handle, { idObject: altered, encryptedSecret })).rejects.toThrow("integrity")
  })
})

test("with one kind's chance for another kind's EK nothing is made", async () => {
  const ek = await ekOf(rsaEkHandle)
  expect(() => makeCredential(ek, akName, randomBytes(32), ephemeral("P-256"))).toThrow("chance of its own kind")
  expect(() => makeCredential(ek, akName, randomBytes(33), chances["rsa"]!())).toThrow("at most 32 bytes")
})

test("C31 what is no EK is one clear error", () => {
  expect(() => makeCredential(readPublic(machine.keys.ak), akName, randomBytes(32), ephemeral("P-256"))).toThrow(
    Malformed,
  )
  // RSA-1024 with SHA-512 as nameAlg has no room for OAEP
  const small = Buffer.concat([
    Buffer.from("0001000d000300b2000000060080004300100400000000000080", "hex"),
    Buffer.alloc(128, 0xc1),
  ])
  expect(() => makeCredential(readPublic(small), akName, randomBytes(32), chances["rsa"]!())).toThrow(Malformed)
})

test("C14 the Name of an EK made by tpm2_createek", async () => {
  await machine.tpm.tool("tpm2_readpublic", "-Q", "-c", p256, "-n", "p256.name")
  expect(toHex(nameOf(await ekOf(p256)))).toBe(toHex(machine.file("p256.name")))
})
