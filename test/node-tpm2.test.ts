/** Does node-tpm2 say and do what the TPM's own tools say? Every answer is compared with tpm2-tools or openssl. */
import { createHash, createPublicKey, randomBytes, verify, X509Certificate } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import {
  attestationKey,
  EK_ECC_P256,
  EK_ECC_P384,
  EK_RSA_2048,
  nameOf,
  openTpm,
  STORAGE_PARENT,
  type Tpm,
  type TpmObject,
} from "../node-tpm2/index.ts"
import { type Swtpm, startSwtpm, swtpmAuthority } from "./swtpm.ts"

const OPTIONS = { deadline: 20_000, allowSoftware: true }
const UNIQUE = new Uint8Array(32).fill(7)
const ALL_PCRS = Array.from({ length: 24 }, (_, index) => index)

let swtpm: Swtpm
let tpm: Tpm

beforeAll(async () => {
  swtpm = await startSwtpm()
  tpm = await openTpm(swtpm.tcti, OPTIONS)
})

afterAll(async () => {
  await tpm?.close()
  await swtpm?.stop()
})

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const sha256 = (...parts: Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest()

/** A file in the TPM's folder, for a tool to read: the bytes, or their TPM2B. */
async function file(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(swtpm.directory, name)
  await writeFile(path, bytes)
  return path
}

function tpm2b(bytes: Uint8Array): Buffer {
  const size = Buffer.alloc(2)
  size.writeUInt16BE(bytes.length)
  return Buffer.concat([size, bytes])
}

/** The public key as openssl has it, by way of tpm2_print. */
async function pem(object: TpmObject): Promise<string> {
  const path = await file("public.tpm2b", tpm2b(object.publicArea))
  return swtpm.tool("tpm2_print", "-t", "TPM2B_PUBLIC", "-f", "pem", path)
}

/** ECDSA P-256 over the attestation, checked by node's OpenSSL: TPMT_SIGNATURE is alg, hash, r, s. */
async function isSignedBy(key: TpmObject, attest: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const parts = Buffer.from(signature)
  const rLength = parts.readUInt16BE(4)
  const r = parts.subarray(6, 6 + rLength)
  const s = parts.subarray(8 + rLength)
  const padded = [r, s].map(part => Buffer.concat([Buffer.alloc(32 - part.length), part]))
  const publicKey = createPublicKey(await pem(key))
  return verify("sha256", attest, { key: publicKey, dsaEncoding: "ieee-p1363" }, Buffer.concat(padded))
}

async function withKey<T>(template: Uint8Array, use: (key: TpmObject) => Promise<T>): Promise<T> {
  const { object } = await tpm.createPrimary("endorsement", template)
  try {
    return await use(object)
  } finally {
    await tpm.flush(object)
  }
}

/** The file of tpm2_makecredential: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET. */
async function makeCredential(ek: TpmObject, name: Uint8Array, secret: Uint8Array) {
  const key = await file("ek.tpm2b", tpm2b(ek.publicArea))
  const plain = await file("secret", secret)
  await swtpm.tool("tpm2_makecredential", "-u", key, "-s", plain, "-n", hex(name), "-o", "credential")
  const bytes = await readFile(join(swtpm.directory, "credential"))
  const blobEnd = 10 + bytes.readUInt16BE(8)
  return { credentialBlob: bytes.subarray(10, blobEnd), encryptedSecret: bytes.subarray(blobEnd + 2) }
}

const nameWith = (unique: Uint8Array): Promise<string> => withKey(attestationKey(unique), async key => hex(key.name))

describe("what the TPM is", () => {
  test("identity and properties are those of tpm2_getcap", async () => {
    const listed = await swtpm.tool("tpm2_getcap", "properties-fixed")
    const raw = (name: string): number => Number(new RegExp(`${name}:\\s+raw: (0x\\w+)`).exec(listed)?.[1])
    const identity = await tpm.identity()
    expect(identity).toMatchObject({ manufacturer: "IBM", vendor: "SW   TPM", revision: 164 })
    expect(identity.firmwareVersion).toBe(
      (BigInt(raw("TPM2_PT_FIRMWARE_VERSION_1")) << 32n) | BigInt(raw("TPM2_PT_FIRMWARE_VERSION_2")),
    )
    const properties = await tpm.properties()
    expect(properties.get(0x12c)).toBe(raw("TPM2_PT_NV_BUFFER_MAX"))
    expect(properties.get(0x200)).toBeDefined()
  })

  test("banks, commands and handles are those of tpm2_getcap", async () => {
    expect(await tpm.banks()).toEqual([
      { bank: "sha256", pcrs: ALL_PCRS },
      { bank: "sha384", pcrs: ALL_PCRS },
    ])
    const codes = [...(await swtpm.tool("tpm2_getcap", "commands")).matchAll(/commandIndex: +(0x\w+)/g)]
    expect(await tpm.commands()).toEqual(codes.map(code => Number(code[1])))
    for (const [kind, name] of [
      ["nv", "nv-index"],
      ["persistent", "persistent"],
    ] as const) {
      const listed = [...(await swtpm.tool("tpm2_getcap", `handles-${name}`)).matchAll(/0x\w+/g)]
      expect(listed.length).toBeGreaterThan(1)
      expect(await tpm.handles(kind)).toEqual(listed.map(([handle]) => Number(handle)))
    }
  })

  test("the counters are those of tpm2_readclock", async () => {
    const listed = await swtpm.tool("tpm2_readclock")
    const { time, clock, ...counters } = await tpm.readClock()
    expect(counters).toEqual({
      resetCount: Number(/reset_count: (\d+)/.exec(listed)?.[1]),
      restartCount: Number(/restart_count: (\d+)/.exec(listed)?.[1]),
      safe: /safe: yes/.test(listed),
    })
    expect(clock).toBeGreaterThanOrEqual(time)
  })

  test("random bytes come in any number, though the TPM gives 64 at most", async () => {
    for (const length of [0, 1, 64, 65, 1000]) expect((await tpm.getRandom(length)).length).toBe(length)
    const random = await tpm.getRandom(4096)
    expect(new Set(random).size).toBeGreaterThan(250)
    await expect(tpm.getRandom(4097)).rejects.toMatchObject({ code: "TPM_BAD_ARGUMENT" })
  })
})

describe("PCRs", () => {
  test("values are those of tpm2_pcrread, beyond the eight of one command", async () => {
    const listed = await swtpm.tool("tpm2_pcrread")
    const { banks } = await tpm.pcrRead(await tpm.banks())
    const ours = [...banks].flatMap(([, values]) => ALL_PCRS.map(index => `0x${hex(values.get(index) ?? UNIQUE)}`))
    expect(ours.map(value => value.toUpperCase())).toEqual(
      [...listed.matchAll(/0x[0-9A-F]+/g)].map(([value]) => value.toUpperCase()),
    )
  })

  test("an extend is the hash of old value and digest, in each bank; a reset clears it", async () => {
    const digests = (["sha256", "sha384"] as const).map(bank => ({
      bank,
      digest: randomBytes(bank === "sha256" ? 32 : 48),
    }))
    const selection = [
      { bank: "sha256", pcrs: [23] },
      { bank: "sha384", pcrs: [23] },
    ] as const
    await tpm.pcrExtend(23, digests)
    const { banks } = await tpm.pcrRead(selection)
    for (const { bank, digest } of digests) {
      const expected = createHash(bank).update(new Uint8Array(digest.length)).update(digest).digest()
      expect(hex(banks.get(bank)?.get(23) ?? UNIQUE)).toBe(hex(expected))
    }
    await tpm.pcrReset(23)
    expect((await tpm.pcrRead(selection)).banks.get("sha384")?.get(23)).toEqual(new Uint8Array(48))
  })

  test("what cannot be is refused by name", async () => {
    await expect(tpm.pcrRead([{ bank: "sha1", pcrs: [0] }])).rejects.toMatchObject({ code: "TPM_BAD_ARGUMENT" })
    await expect(tpm.pcrRead([{ bank: "sha256", pcrs: [24] }])).rejects.toMatchObject({ code: "TPM_BAD_ARGUMENT" })
    await expect(tpm.pcrExtend(23, [{ bank: "sha256", digest: new Uint8Array(31) }])).rejects.toMatchObject({
      code: "TPM_BAD_ARGUMENT",
    })
    await expect(tpm.pcrReset(0)).rejects.toMatchObject({ code: "TPM_RC_LOCALITY" })
  })
})

describe("endorsement", () => {
  test.each([
    [0x01c00002, EK_RSA_2048],
    [0x01c00016, EK_ECC_P384],
  ])("the certificate at NV %i is of the key that the template makes, and of the CA", async (index, template) => {
    const certificate = new X509Certificate(await tpm.nvRead(index))
    const path = await file("ek.pem", Buffer.from(certificate.toString()))
    const { rootCertificate, issuerCertificate } = swtpmAuthority
    const judged = await swtpm.tool(
      "openssl",
      "verify",
      "-CAfile",
      rootCertificate,
      "-untrusted",
      issuerCertificate,
      path,
    )
    expect(judged).toContain("OK")
    const key = await withKey(template, pem)
    expect(certificate.publicKey.equals(createPublicKey(key))).toBe(true)
  })

  test("a persistent key is held, read and let go, twice over", async () => {
    const [one, other] = await Promise.all([tpm.persistent(0x81010001), tpm.persistent(0x81010001)])
    await tpm.flush(one)
    expect((await tpm.readPublic(other)).name).toEqual(await withKey(EK_RSA_2048, async key => key.name))
    await tpm.flush(other)
    expect(await tpm.handles("persistent")).toContain(0x81010001)
    await expect(tpm.readPublic(one)).rejects.toMatchObject({ code: "TPM_OBJECT_NOT_HELD" })
    await expect(tpm.persistent(0x81ffffff)).rejects.toMatchObject({ code: "TPM_RC_HANDLE" })
    await expect(tpm.nvRead(0x01ffffff)).rejects.toMatchObject({ code: "TPM_RC_HANDLE" })
  })

  test.each([
    ["RSA-2048", EK_RSA_2048],
    ["P-256", EK_ECC_P256],
    ["P-384", EK_ECC_P384],
  ])("a credential of tpm2_makecredential for the %s EK gives its secret back", async (_, template) => {
    await withKey(template, async ek => {
      await withKey(attestationKey(UNIQUE), async ak => {
        const secret = randomBytes(32)
        const credential = await makeCredential(ek, ak.name, secret)
        expect(hex(await tpm.activateCredential(ak, ek, credential))).toBe(hex(secret))
        const forAnother = await makeCredential(ek, nameOf(STORAGE_PARENT), secret)
        await expect(tpm.activateCredential(ak, ek, forAnother)).rejects.toMatchObject({ code: "TPM_RC_INTEGRITY" })
      })
    })
    expect(await tpm.handles("loaded-session")).toEqual([])
  })
})

describe("statements of the TPM", () => {
  test("tpm2_checkquote accepts a quote, and refuses another nonce", async () => {
    await withKey(attestationKey(UNIQUE), async ak => {
      const nonce = randomBytes(32)
      const quoted = await tpm.quote(ak, nonce, [
        { bank: "sha256", pcrs: [0, 7, 23] },
        { bank: "sha384", pcrs: [10] },
      ])
      const key = await file("ak.tpm2b", tpm2b(ak.publicArea))
      const files = ["-m", await file("attest", quoted.attest), "-s", await file("signature", quoted.signature)]
      await swtpm.tool("tpm2_checkquote", "-u", key, ...files, "-q", hex(nonce))
      await expect(swtpm.tool("tpm2_checkquote", "-u", key, ...files, "-q", hex(randomBytes(32)))).rejects.toThrow(
        "nonce",
      )
    })
  })

  test("a quote's digest is that of the values read, and its selection the one asked for", async () => {
    const selection = [{ bank: "sha256", pcrs: [0, 1, 8, 16, 23] }] as const
    const { attest } = await withKey(attestationKey(UNIQUE), ak => tpm.quote(ak, new Uint8Array(), selection))
    const printed = await swtpm.tool("tpm2_print", "-t", "TPMS_ATTEST", await file("attest", attest))
    const values = (await tpm.pcrRead(selection)).banks.get("sha256") ?? new Map<number, Uint8Array>()
    expect(/pcrDigest: (\w+)/.exec(printed)?.[1]).toBe(hex(sha256(...values.values())))
    expect(printed).toContain("pcrSelect: 030181")
  })

  test("the same template gives the same key, other unique bytes another", async () => {
    expect(await nameWith(UNIQUE)).toBe(await nameWith(UNIQUE))
    expect(await nameWith(UNIQUE)).not.toBe(await nameWith(new Uint8Array(32)))
  })

  test("Names are those of tpm2_loadexternal", async () => {
    const key = await withKey(attestationKey(UNIQUE), async ak => ak)
    const path = await file("ak.tpm2b", tpm2b(key.publicArea))
    const printed = await swtpm.tool("tpm2_loadexternal", "-C", "n", "-u", path, "-c", "ak.context")
    await swtpm.tool("tpm2_flushcontext", "-t")
    expect(printed).toContain(hex(key.name))
  })

  test("CertifyCreation is signed, and shows the endorsement hierarchy as parent", async () => {
    const ak = await tpm.createPrimary("endorsement", attestationKey(UNIQUE))
    const nonce = randomBytes(16)
    const { attest, signature } = await tpm.certifyCreation(ak.object, ak.object, nonce, ak)
    expect(await isSignedBy(ak.object, attest, signature)).toBe(true)
    for (const part of [nonce, ak.object.name, ak.creationHash]) expect(hex(attest)).toContain(hex(part))
    expect(hex(ak.creationHash)).toBe(hex(sha256(ak.creationData)))
    expect(hex(ak.creationData)).toContain("4000000b") // parentName: TPM_RH_ENDORSEMENT
    await tpm.flush(ak.object)
  })

  test("a reset of a PCR under command audit shows in the audit digest", async () => {
    const PCR_RESET = 0x13d
    await tpm.setCommandAuditHash("sha256")
    await tpm.setCommandAudit([PCR_RESET], [])
    expect(await tpm.auditedCommands()).toContain(PCR_RESET)
    await withKey(attestationKey(UNIQUE), async ak => {
      const digest = async (): Promise<Buffer> => {
        const { attest, signature } = await tpm.commandAuditDigest(ak, UNIQUE)
        expect(await isSignedBy(ak, attest, signature)).toBe(true)
        return Buffer.from(attest)
      }
      await digest()
      const quiet = await digest()
      await tpm.pcrReset(23)
      const loud = await digest()
      expect(loud.length).toBe(quiet.length + 32)
    })
    await tpm.setCommandAudit([], [PCR_RESET])
    expect(await tpm.auditedCommands()).not.toContain(PCR_RESET)
  })
})

describe("children", () => {
  test("a key made under a parent is loaded and signs; its authorisation value is wanted", async () => {
    const parent = (await tpm.createPrimary("owner", STORAGE_PARENT)).object
    const auth = randomBytes(16)
    const blob = await tpm.create(parent, attestationKey(new Uint8Array()), { auth })
    const key = await tpm.load(parent, blob, auth)
    const { attest, signature } = await tpm.quote(key, UNIQUE, [{ bank: "sha256", pcrs: [0] }])
    expect(await isSignedBy(key, attest, signature)).toBe(true)
    await tpm.flush(key)
    const unauthorised = await tpm.load(parent, blob)
    await expect(tpm.quote(unauthorised, UNIQUE, [])).rejects.toMatchObject({ code: "TPM_RC_BAD_AUTH" })
    await tpm.flush(unauthorised)
    await tpm.flush(parent)
  })

  test("the owner's authorisation value is used where one is set", async () => {
    await swtpm.tool("tpm2_changeauth", "-c", "owner", "owner-secret")
    const refused = tpm.createPrimary("owner", STORAGE_PARENT)
    await expect(refused).rejects.toMatchObject({ code: "TPM_RC_BAD_AUTH", subject: "session 1" })
    await tpm.setHierarchyAuth("owner", Buffer.from("owner-secret"))
    await tpm.flush((await tpm.createPrimary("owner", STORAGE_PARENT)).object)
    await swtpm.tool("tpm2_changeauth", "-c", "owner", "-p", "owner-secret", "")
    await tpm.setHierarchyAuth("owner", new Uint8Array())
  })
})
