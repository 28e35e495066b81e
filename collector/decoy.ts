/**
 * What is evidence compared with when nobody is enrolled under the name that it claims? With keys that nobody holds, so that a
 * stranger learns neither from an answer nor from its time which names are known.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { toHex } from "../attestation/wire/text.ts"
import type { PinnedKeys } from "../attestation/verify/verify.ts"

/** TPMT_PUBLIC of a restricted ECDSA P-256 signing key up to its coordinates: what an AK of ours looks like. */
const head = Buffer.from("0023000b00050472000000100018000b00030010", "hex")
const sized = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])

/** Keys whose private parts are forgotten. */
export function decoyKeys(): PinnedKeys {
  const { x = "", y = "" } = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" })
  const ed = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" })
  const ak = Buffer.concat([head, sized(Buffer.from(x, "base64url")), sized(Buffer.from(y, "base64url"))])
  return {
    attester: `000b${toHex(randomBytes(32))}`,
    ak: new Uint8Array(ak),
    evidenceKey: new Uint8Array(Buffer.from(ed.x ?? "", "base64url")),
  }
}
