/**
 * Who is this attester? The EK whose template is chosen once and recorded, and an AK that is computed anew from a recorded
 * `unique` at each start, with the proof that it hangs under the endorsement hierarchy. No key lies on disk.
 */
import { randomBytes } from "node:crypto"
import { z } from "zod"
import {
  attestationKey,
  EK_ECC_P256,
  EK_ECC_P384,
  EK_RSA_2048,
  type Tpm,
  type TpmObject,
} from "../../node-tpm2/index.ts"
import { tpmName } from "../../attestation/protocol/evidence.ts"
import type { Identity } from "../../attestation/protocol/message.ts"
import { nameOf, readPublic } from "../../attestation/tcg/public.ts"
import { base64, fromBase64, fromHex, hex, toBase64, toHex } from "../../attestation/wire/text.ts"
import { bytesFor, type KeptCertificate } from "./ek-certificate.ts"
import { Fault, LastingFault, say } from "./fault.ts"
import type { StateDirectory } from "./state.ts"

/** Templates in the order of preference, where their certificates stand, and where an EK may have been made persistent. */
const endorsementKeys = {
  rsa2048: { template: EK_RSA_2048, certificate: 0x01c00002, persistent: 0x81010001 },
  p256: { template: EK_ECC_P256, certificate: 0x01c0000a, persistent: 0x81010002 },
  p384: { template: EK_ECC_P384, certificate: 0x01c00016, persistent: 0x81010016 },
} as const
type EkKind = keyof typeof endorsementKeys
const kinds = ["rsa2048", "p256", "p384"] as const satisfies readonly EkKind[]

const file = "identity.json"
const stored = z.strictObject({
  ek: z.enum(kinds),
  ekPublic: base64(1024),
  /** what makes this AK another than any other under the same seed */
  unique: hex(32),
  ak: tpmName,
})
type Stored = z.infer<typeof stored>

/** The most bytes of an EK certificate. */
const certificateLimit = 8192

/** What the identity needs of a TPM, and a way to one that may take its time: an RSA key can take a minute. */
export type Access = {
  readonly tpm: Tpm
  readonly state: StateDirectory
  /** the EK's certificate from a file, for a TPM that holds none */
  readonly certificate: KeptCertificate | "none"
  readonly patiently: <T>(use: (tpm: Tpm) => Promise<T>) => Promise<T>
}

/** All of the wire identity but the evidence key. */
export type TpmPart = Omit<Identity, "evidenceKey">

/** The EK and the AK of this attester. The AK is loaded; the EK only while a credential is opened. */
export class TpmIdentity {
  readonly #access: Access
  #stored: Stored
  #previous: Stored | undefined
  #ak: TpmObject
  #wire: TpmPart

  private constructor(access: Access, known: Stored, ak: TpmObject, wire: TpmPart) {
    this.#access = access
    this.#stored = known
    this.#ak = ak
    this.#wire = wire
  }

  /** Throws Fault when this is not the TPM that the state was made with. */
  static async open(access: Access): Promise<TpmIdentity> {
    const known = (await access.state.read(file, stored)) ?? (await choose(access))
    const { ak, wire } = await load(access, known)
    return new TpmIdentity(access, known, ak, wire)
  }

  /**
   * Draws another AK under the same EK, or takes the one before back; what is quoted from now on is quoted by it. Throws Fault when
   * this process knows of none before.
   */
  async rotate(to: "new" | "previous"): Promise<void> {
    const { tpm, state } = this.#access
    const next = to === "new" ? await drawAk(tpm, this.#stored) : this.#previous
    if (!next) throw new Fault("no AK of before is known", "join again, with a new invitation")
    const { ak, wire } = await load(this.#access, next)
    await state.write(file, next)
    await tpm.flush(this.#ak).catch(() => undefined)
    this.#previous = to === "new" ? this.#stored : undefined
    this.#stored = next
    this.#ak = ak
    this.#wire = wire
  }

  get wire(): TpmPart {
    return this.#wire
  }
  get ak(): TpmObject {
    return this.#ak
  }
  /** Name of the AK, in hex. */
  get akName(): string {
    return this.#stored.ak
  }

  /** Loads the AK anew: a restart of the TPM took the old one. */
  async reload(): Promise<void> {
    const { tpm, state } = this.#access
    await tpm.flush(this.#ak).catch(() => undefined)
    this.#ak = (await createAk(tpm, this.#stored, state)).object
  }

  /** Opens a credential for this EK and AK. Both arguments are TPM2B structures, with their lengths. */
  async activate(idObject: Uint8Array, encryptedSecret: Uint8Array): Promise<Uint8Array> {
    const credential = { credentialBlob: contentOf(idObject), encryptedSecret: contentOf(encryptedSecret) }
    const { state, patiently } = this.#access
    return patiently(async tpm => {
      const { object: ak } = await createAk(tpm, this.#stored, state)
      const ek = await loadEk(tpm, this.#stored, state)
      return tpm.activateCredential(ak, ek, credential)
    })
  }
}

const ekName = (known: Stored): string => toHex(nameOf(readPublic(fromBase64(known.ekPublic))))

/** The AK, loaded, and what others are shown of it. */
async function load(access: Access, known: Stored): Promise<{ readonly ak: TpmObject; readonly wire: TpmPart }> {
  const { object, ...proof } = await createAk(access.tpm, known, access.state)
  const certified = await access.tpm.certifyCreation(object, object, new Uint8Array(0), proof)
  const creation = {
    data: toBase64(proof.creationData),
    attest: toBase64(certified.attest),
    signature: toBase64(certified.signature),
  }
  const certificate = (await readCertificate(access.tpm, known.ek)) ?? keptFor(known, access.certificate)
  const wire = {
    attester: ekName(known),
    ekPublic: known.ekPublic,
    ekCertificate: certificate ? toBase64(certificate) : null,
    akPublic: toBase64(object.publicArea),
    creation,
  }
  return { ak: object, wire }
}

/** Draws the AK's `unique`, chooses the EK, and records both. */
async function choose({ tpm, state, patiently, certificate }: Access): Promise<Stored> {
  const ek = await chooseEk(tpm, certificate)
  const ekPublic = await patiently(async patient => {
    const { object } = await patient.createPrimary("endorsement", endorsementKeys[ek].template)
    return toBase64(object.publicArea)
  })
  const chosen = await drawAk(tpm, { ek, ekPublic })
  await state.write(file, chosen)
  return chosen
}

/** An AK that nobody had before, beside this EK. */
async function drawAk(tpm: Tpm, { ek, ekPublic }: Pick<Stored, "ek" | "ekPublic">): Promise<Stored> {
  const unique = toHex(randomBytes(32))
  const { object } = await tpm.createPrimary("endorsement", attestationKey(fromHex(unique)))
  await tpm.flush(object)
  return { ek, ekPublic, unique, ak: toHex(object.name) }
}

async function chooseEk(tpm: Tpm, kept: KeptCertificate | "none"): Promise<EkKind> {
  for (const kind of kinds) if (await readCertificate(tpm, kind)) return kind
  return kept === "none" ? "rsa2048" : kept.kind
}

/** A kept certificate, which must be this EK's: another would speak for another machine. */
function keptFor(known: Stored, kept: KeptCertificate | "none"): Uint8Array | undefined {
  return kept === "none" ? undefined : bytesFor(kept, readPublic(fromBase64(known.ekPublic)))
}

/** The certificate as it stands in NV, or undefined. */
async function readCertificate(tpm: Tpm, kind: EkKind): Promise<Uint8Array | undefined> {
  const index = endorsementKeys[kind].certificate
  if (!(await tpm.handles("nv")).includes(index)) return undefined
  try {
    const bytes = await tpm.nvRead(index)
    return bytes.length > 0 && bytes.length <= certificateLimit ? bytes : undefined
  } catch (error) {
    if (!tpm.usable) throw error
    say(`the EK certificate at NV 0x${index.toString(16)} cannot be read: ${String(error)}`)
    return undefined
  }
}

async function createAk(tpm: Tpm, known: Stored, state: StateDirectory) {
  const created = await tpm.createPrimary("endorsement", attestationKey(fromHex(known.unique)))
  const name = toHex(created.object.name)
  if (name === known.ak) return created
  await tpm.flush(created.object)
  throw otherTpm(state, "AK", name, known.ak)
}

/** An EK that was made persistent saves its computation. */
async function loadEk(tpm: Tpm, known: Stored, state: StateDirectory): Promise<TpmObject> {
  const { template, persistent } = endorsementKeys[known.ek]
  if ((await tpm.handles("persistent")).includes(persistent)) {
    const object = await tpm.persistent(persistent)
    if (toHex(object.name) === ekName(known)) return object
    await tpm.flush(object)
  }
  const { object } = await tpm.createPrimary("endorsement", template)
  if (toHex(object.name) === ekName(known)) return object
  throw otherTpm(state, "EK", toHex(object.name), ekName(known))
}

const otherTpm = (state: StateDirectory, key: string, is: string, recorded: string): Fault =>
  new LastingFault(
    `this is not the TPM that ${state.path} was made with: its ${key} is ${is}, recorded is ${recorded}`,
    `use the TPM of before; if it was exchanged, move ${state.path} away and join again`,
  )

/** The content of a TPM2B. Throws Fault when its length is another. */
function contentOf(sized: Uint8Array): Uint8Array {
  const length = sized.length < 2 ? -1 : Buffer.from(sized).readUInt16BE()
  if (length === sized.length - 2) return sized.subarray(2)
  throw new Fault("the credential is not of TPM2B structures", "make it with TPM2_MakeCredential for this EK and AK")
}
