/**
 * How do secrets rest? Each sealed with AES-256-GCM under one key that lies in a file of its own, not in the store: a copy of the store, or
 * a backup, discloses none. Who reads both the store and that file reads the secrets. What is kept beside them: `secret.ts`.
 */
import { randomBytes } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { writeJson } from "../attestation/wire/json.ts"
import { Hinted } from "../attestation/wire/hinted.ts"
import { sealSizes, sealWith, unsealWith } from "../attestation/wire/sealed.ts"
import type { Configuration } from "./config.ts"
import { writeWhole } from "./keys.ts"
import type { Secret, Unseal } from "./secret.ts"

/** The key cannot be used; `hint` says what to do. */
export class NoSafe extends Hinted {}

export type Safe = {
  /** Seals `bytes` as this secret. Throws {@link NoSafe}. */
  readonly seal: (secret: Secret, bytes: Uint8Array) => Uint8Array
  /** undefined where they were sealed under another key, or as another secret, or altered */
  readonly unseal: Unseal
}

/** The safe whose key the configuration names; unless it names one, the key is made in the state folder when it is first needed. */
export function safeIn({ state, secrets: { key } }: Pick<Configuration, "state" | "secrets">): Safe {
  const own = join(state, "secrets.key")
  const path = key === "" ? own : key
  return {
    seal: (secret, bytes) => {
      if (path === own && !existsSync(own)) writeWhole(own, randomBytes(sealSizes.key))
      return sealWith(keyIn(path), randomBytes(sealSizes.iv), contextOf(secret), bytes)
    },
    unseal: (secret, sealed) => {
      try {
        return unsealWith(keyIn(path), contextOf(secret), sealed)
      } catch {
        return undefined
      }
    },
  }
}

/** Read each time: a credential of systemd's is renewed by a restart, and a key that is lost is noticed at once. */
function keyIn(path: string): Uint8Array {
  const key = existsSync(path) ? readFileSync(path) : undefined
  if (key?.length === sealSizes.key) return new Uint8Array(key)
  const problem = key ? `${path} holds ${key.length} bytes, not ${sealSizes.key}` : `there is no key in ${path}`
  throw new NoSafe(
    `secrets cannot be kept: ${problem}`,
    `put ${sealSizes.key} random bytes there, or let secrets.key be ""`,
  )
}

/** So that what was put for one machine, name and verdict cannot be moved to another in the store. */
const contextOf = ({ attester, name, tier, at }: Secret): Uint8Array =>
  writeJson({ secret: "assay.secret.v1", attester, name, tier, at })
