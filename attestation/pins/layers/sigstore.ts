/**
 * Is the signer of a bundle the identity that a person accepts, by the word of a Sigstore instance? Certificate, transparency log and time
 * stamps are checked offline against the instance's `trusted_root.json`, by the Sigstore project's own library.
 */
import { bundleFromJSON } from "@sigstore/bundle"
import { TrustedRoot } from "@sigstore/protobuf-specs"
import { toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify"
import { z } from "zod"
import { plainLine } from "../../wire/text.ts"
import { readForeign } from "./foreign.ts"
import type { Accepted, AuthorityVerdict } from "./signature.ts"

/** A log whose keys were valid since no day in particular would vouch for any day. */
const dated = z.looseObject({
  tlogs: z.array(
    z.looseObject({
      publicKey: z.looseObject({ validFor: z.looseObject({ start: z.iso.datetime({ offset: true }) }) }),
    }),
    "describes no log, or one whose key has no beginning",
  ),
})

/** The library's word on `untrusted`, a bundle; `artifact` where it signs a file's own bytes. Never throws. */
export function checkSigstore(
  untrusted: Uint8Array,
  { identity, issuer, trustedRoot }: Extract<Accepted, { kind: "sigstore" }>,
  artifact: Uint8Array | undefined,
): AuthorityVerdict {
  try {
    const root = TrustedRoot.fromJSON(readForeign(dated, trustedRoot, "the trusted root"))
    const bundle = bundleFromJSON(readForeign(z.looseObject({}), untrusted, "the bundle"))
    const entity = toSignedEntity(bundle, artifact && Buffer.from(artifact))
    const policy = { subjectAlternativeName: exactly(identity), extensions: { issuer } }
    new Verifier(toTrustMaterial(root)).verify(entity, policy)
    return { verdict: "accepted", why: `${identity}, by the word of ${issuer}` }
  } catch (error) {
    const why = error instanceof Error ? plainLine(error.message, 256) : "it could not be read"
    return { verdict: "not accepted", why }
  }
}

/** The library takes a string for a pattern that may stand anywhere in the name. */
const exactly = (identity: string): RegExp => new RegExp(`^${identity.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&")}$`)
