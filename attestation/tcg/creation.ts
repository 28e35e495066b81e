/**
 * In which hierarchy was a key made? A public area does not show it; the creation data, certified by the key, does
 * (TPM 2.0 Library, Part 2, 15.1 TPMS_CREATION_DATA; Part 3, 18.3 TPM2_CertifyCreation).
 */
import { createHash } from "node:crypto"
import { counted, decode, Malformed, struct, u8, u16 } from "../wire/codec.ts"
import { creationAttest } from "./attest.ts"
import { pcrSelections } from "./pcr.ts"
import { attestedBy, nameOf, type PublicArea } from "./public.ts"
import { signature } from "./signature.ts"
import { sameBytes, toHex } from "../wire/text.ts"

/** TPMS_CREATION_DATA. */
const creationData = struct({
  pcrSelect: pcrSelections,
  pcrDigest: counted(64),
  locality: u8,
  parentNameAlg: u16,
  parentName: counted(66),
  parentQualifiedName: counted(66),
  outsideInfo: counted(64),
})

/** TPM_RH_ENDORSEMENT as the Name of a hierarchy. */
const endorsement = "4000000b"

/** What proves the hierarchy of a key: TPMS_CREATION_DATA, and the key's own CertifyCreation over it. */
export type CreationProof = { readonly data: Uint8Array; readonly attest: Uint8Array; readonly signature: Uint8Array }

/** Why `proof` does not show that `area`'s key was made under the endorsement hierarchy; empty when it does. */
export function whyNotEndorsement(area: PublicArea, proof: CreationProof): string[] {
  try {
    return examine(area, proof)
  } catch (error) {
    if (error instanceof Malformed) return [`the proof of creation is malformed: ${error.message}`]
    throw error
  }
}

function examine(area: PublicArea, proof: CreationProof): string[] {
  const data = decode(creationData, proof.data)
  const attest = decode(creationAttest, proof.attest)
  const faults: string[] = []
  if (!attestedBy(area, proof.attest, decode(signature, proof.signature)))
    faults.push("the certification is not signed by the key")
  if (!sameBytes(attest.objectName, nameOf(area))) faults.push("the certification names another key")
  if (!sameBytes(attest.creationHash, createHash(area.nameAlg).update(proof.data).digest()))
    faults.push("the certification is of other creation data")
  if (toHex(data.parentName) !== endorsement)
    faults.push(`the key was made under ${toHex(data.parentName)}, not the endorsement hierarchy`)
  return faults
}
