/**
 * With what authority does a command run? Each use of a key opens a session of its own and flushes it afterwards.
 *
 * Objects are authorised through an HMAC session even where their authorisation value is empty, because the HMAC covers
 * the *Names* of all handles in the command (TPM 2.0 Part 1, 19.6.5): after a TPM restart another key may stand at the
 * same transient handle, and with a password TPM2_Quote would sign with that one and report success. With a session the
 * TPM itself refuses it, in the same command, so nothing can slip between a check and a use. The session is opened for
 * one command and not kept, since a resource manager may evict an old one (TPM_RC_CONTEXT_GAP).
 */
import { type Esys, TR } from "./esys.ts"
import type { EsysTr } from "./invocation.ts"
import { EMPTY, HASH_ALGORITHMS, join, u16 } from "./wire.ts"

/** TPM_SE: the kind of session. */
const HMAC = 0x00
const POLICY = 0x01

/** TPMA_SESSION. */
const CONTINUE = 0x01
const DECRYPT_COMMAND = 0x20
const ENCRYPT_RESPONSE = 0x40

/** TPMT_SYM_DEF: none, and AES-128 in CFB mode, which every TPM 2.0 has. */
const NO_CIPHER = u16(0x0010)
const AES_128_CFB = join(u16(0x0006), u16(128), u16(0x0043))

interface SessionKind {
  readonly type: number
  readonly saltKey: EsysTr
  readonly cipher: Uint8Array
  readonly hash: number
  readonly attributes: number
}

/** Runs `use` with an HMAC session: authorises, and binds the command to the Names of its objects. */
export function inHmacSession<T>(esys: Esys, use: (session: EsysTr) => Promise<T>): Promise<T> {
  return inSession(esys, { ...PLAIN, type: HMAC }, use)
}

/**
 * Runs `use` with an HMAC session that also encrypts the first parameter of command and response, under a secret sent to
 * `saltKey`. Secrecy stands and falls with that key being the TPM's own: the caller has compared its Name.
 */
export function inSaltedSession<T>(esys: Esys, saltKey: EsysTr, use: (session: EsysTr) => Promise<T>): Promise<T> {
  const attributes = CONTINUE | DECRYPT_COMMAND | ENCRYPT_RESPONSE
  return inSession(esys, { ...PLAIN, type: HMAC, saltKey, cipher: AES_128_CFB, attributes }, use)
}

/**
 * Runs `use` with a session that fulfils PolicySecret(endorsement), the policy of the EK templates L-1 and L-2 (TCG EK
 * Credential Profile 2.5, B.6.2). `hash` is the EK's nameAlg, a TPM_ALG_ID.
 */
export function inEndorsementPolicy<T>(esys: Esys, hash: number, use: (session: EsysTr) => Promise<T>): Promise<T> {
  return inSession(esys, { ...PLAIN, type: POLICY, hash }, async policy => {
    await inHmacSession(esys, session =>
      esys.call("PolicySecret", TR.endorsement, policy, session, TR.none, TR.none, EMPTY, EMPTY, EMPTY, 0),
    )
    return use(policy)
  })
}

const PLAIN = { saltKey: TR.none, cipher: NO_CIPHER, hash: HASH_ALGORITHMS.sha256, attributes: CONTINUE }

async function inSession<T>(esys: Esys, kind: SessionKind, use: (session: EsysTr) => Promise<T>): Promise<T> {
  const { type, saltKey, cipher, hash } = kind
  const none = TR.none
  const chosenByEsys = null
  const [session] = await esys.call(
    "StartAuthSession",
    ...([saltKey, none, none, none, none, chosenByEsys, type, cipher, hash] as const),
  )
  try {
    const ALL_BITS = 0xff
    await esys.call("TRSess_SetAttributes", session, kind.attributes, ALL_BITS)
    return await use(session)
  } finally {
    await flushSession(esys, session)
  }
}

/**
 * Sessions are kept open by `CONTINUE` and flushed here: one that closed by itself would leave 1.2 KiB in ESYS for good.
 * A flush that fails says that the TPM has no such session any more, or that the context is lost; neither may hide how
 * the command itself ended.
 */
async function flushSession(esys: Esys, session: EsysTr): Promise<void> {
  try {
    await esys.call("FlushContext", session)
  } catch {
    if (esys.usable) await esys.forget(session)
  }
}
