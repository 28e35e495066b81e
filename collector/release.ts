/**
 * When does a secret leave? When a machine wants it, is challenged because of that, and its answer, judged and kept like any, is good
 * enough: then an entry stands in the vault, and only after that is the secret sealed for that machine's TPM and sent. What is kept of
 * secrets, and the conditions: `secret.ts`; the bytes that travel: `attestation/protocol/release.ts`.
 */
import { randomBytes } from "node:crypto"
import type { ToAttester } from "../attestation/protocol/message.ts"
import { sealSecret } from "../attestation/protocol/release.ts"
import { sealSizes } from "../attestation/wire/sealed.ts"
import { makeCredential } from "../attestation/tcg/credential.ts"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import { fromBase64, plainLine, toBase64 } from "../attestation/wire/text.ts"
import { Breach } from "../channel/peer.ts"
import type { Ask, Ended } from "./challenge.ts"
import { chanceFor } from "./enrol.ts"
import type { Parts } from "./parts.ts"
import type { Granted, Wish, Withheld } from "./secret.ts"

/** The connection on which something is wanted. */
export type Asker = {
  /** the name that it said; who answers in time under it is it */
  readonly attester: () => string
  readonly ask: (what: Ask) => Promise<Ended>
  readonly send: (message: ToAttester) => void
  readonly fault: (error: unknown) => void
}

/** What is wanted on one connection: one secret at a time. */
export class Wishes {
  readonly #parts: Parts
  readonly #asker: Asker
  #open = false

  constructor(parts: Parts, asker: Asker) {
    this.#parts = parts
    this.#asker = asker
  }

  /** Challenges whoever wants `secret`, and answers when that has ended. Whether there is such a secret is looked up only then. */
  take(secret: string): void {
    if (this.#open) throw new Breach("want came before the last one was answered")
    this.#open = true
    const { attester, ask, send, fault } = this.#asker
    const { config, now } = this.#parts
    const wished = { attester: attester(), name: secret, since: now() }
    ask({ by: "collector", audience: config.name, depth: "quick", hashed: "nothing" })
      .then(ended => grant(this.#parts, wished, ended))
      .finally(() => (this.#open = false))
      .then(send)
      .catch(fault)
  }
}

type Wished = Pick<Wish, "attester" | "name" | "since">

async function grant({ store, safe, now, say }: Parts, wished: Wished, ended: Ended): Promise<ToAttester> {
  const { attester, name } = wished
  const withhold = ([reason, hint]: Told): ToAttester => ({ type: "withheld", secret: name, reason, hint })
  if (ended.kind !== "judged")
    return withhold([`the challenge was not answered: ${"reason" in ended ? plainLine(ended.reason, 400) : ""}`, again])
  const { judged } = ended
  if (judged.kind === "refused") return withhold(["the answer to the challenge was refused", "look at the agent's log"])
  const { evidence } = judged
  const granted = await store.release({ ...wished, evidence, at: now() }, safe.unseal)
  if (granted.kind === "withheld") {
    say(`withheld the secret ${name} from ${attester}: ${granted.why}`)
    return withhold(whyWithheld(granted))
  }
  say(`released the secret ${name} to ${attester} for evidence ${evidence}`)
  return released(await enrolledAs({ store }, attester, granted), { attester, secret: name, evidence }, granted.secret)
}

type Keys = { readonly ekPublic: Uint8Array; readonly akPublic: Uint8Array }

async function enrolledAs({ store }: Pick<Parts, "store">, attester: string, { enrolment }: Granted): Promise<Keys> {
  const found = await store.enrolmentNumber(attester, enrolment)
  if (!found) throw new Error(`enrolment ${enrolment} of ${attester} is gone`)
  return { ekPublic: fromBase64(found.identity.ekPublic), akPublic: fromBase64(found.identity.akPublic) }
}

/** The message with `bytes` sealed for the TPM that has both keys: nobody else opens it, whoever reads the channel (C34). */
function released(
  { ekPublic, akPublic }: Keys,
  release: { readonly attester: string; readonly secret: string; readonly evidence: string },
  bytes: Uint8Array,
): ToAttester {
  const ek = readPublic(ekPublic)
  const key = randomBytes(sealSizes.key)
  const { idObject, encryptedSecret } = makeCredential(ek, nameOf(readPublic(akPublic)), key, chanceFor(ek))
  const sealed = toBase64(sealSecret(bytes, key, randomBytes(sealSizes.iv), release))
  const credential = { idObject: toBase64(idObject), encryptedSecret: toBase64(encryptedSecret) }
  return { type: "released", secret: release.secret, evidence: release.evidence, credential, sealed }
}

type Told = readonly [reason: string, hint: string]
const again = "ask again; if it repeats, look at the agent's log"

const words: Readonly<Record<Exclude<Withheld["why"], "tier" | "standing">, Told>> = {
  unknown: [
    "no secret of this name is kept for this machine",
    "whoever runs the collector puts it there: assay secret put",
  ],
  unanswered: ["no answer in time stands behind this wish", again],
  retired: ["this machine was retired", "ask whoever runs the collector"],
  sealed: [
    "the collector cannot open what it keeps",
    "whoever runs the collector puts it there anew: assay secret put",
  ],
}

function whyWithheld(withheld: Withheld): Told {
  if (withheld.why !== "tier" && withheld.why !== "standing") return words[withheld.why]
  const meant = withheld.allowed === "affirming" ? "an affirming one only" : "an affirming one or a warning"
  return withheld.why === "tier"
    ? [
        `the verdict on this machine is ${withheld.tier}, and the secret is for ${meant}`,
        "assay explain, at the collector, says why the verdict is not better",
      ]
    : [
        `this machine still stands worse than its last answer, and the secret is for ${meant}`,
        "a contraindication ends by a reboot with passing evidence, or by a person: assay explain, at the collector",
      ]
}
