/** Does a sealed secret open only as it was sealed? The bytes are a collector's; the key and what it was released for are right. */
import { randomBytes } from "node:crypto"
import { openSecret, sealSecret } from "../../attestation/protocol/release.ts"
import { sealSizes } from "../../attestation/wire/sealed.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { sameBytes } from "../../attestation/wire/text.ts"
import { Broken, type Target } from "./target.ts"

const key = randomBytes(sealSizes.key)
const meant = { attester: `000b${"ab".repeat(32)}`, secret: "disk-key", evidence: "cd".repeat(32) }
const sealed = sealSecret(randomBytes(40), key, randomBytes(sealSizes.iv), meant)

export const release: Target = {
  ...{ name: "sealed-secret", grammar: "bytes", refusal: Malformed, seeds: () => [sealed] },
  take: bytes => {
    openSecret(bytes, key, meant)
    if (!sameBytes(bytes, sealed)) throw new Broken("a sealed secret that was altered opens")
  },
}
