/** Under which name and key does a collector publish its vault, and where? Put together from its configuration. */
import { join } from "node:path"
import type { NoteKey } from "../../attestation/pins/note.ts"
import { readWitnessKey } from "../../attestation/vault/checkpoint.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { BadConfiguration } from "../../local/configuration.ts"
import type { Configuration } from "../config.ts"
import { vaultKey } from "../keys.ts"
import { Publisher } from "./publish.ts"
import type { Vault } from "./vault.ts"

/** The folder of tiles and checkpoint within the state folder. */
export const publishedIn = (state: string): string => join(state, "vault")

/** The log's name: the collector's, with what cannot stand in a key name left out. */
export const originOf = ({ name }: Configuration): string => `${name.replace(/[^A-Za-z0-9._:/-]/g, "-")}/vault`

/** The key that its checkpoints are signed with; made where there is none. */
export const logKey = (config: Configuration): NoteKey => ({
  name: originOf(config),
  publicKey: vaultKey(config.state).publicKey,
})

type Ground = { readonly store: Vault; readonly now: () => number; readonly say: (line: string) => void }

/** Throws BadConfiguration for a witness's key that is none. */
export function publisherOf(config: Configuration, { store, now, say }: Ground): Publisher {
  const { witnesses, timestamps, ask, stamp } = config.vault
  return new Publisher({
    ...{ vault: store, key: logKey(config), sign: vaultKey(config.state).sign, folder: publishedIn(config.state) },
    witnesses: witnesses.map(each => ({ url: each.split(" ")[0] ?? "", key: witnessKey(each.split(" ")[1] ?? "") })),
    ...{ timestamps, every: { witness: ask * 1000, timestamp: stamp * 1000 }, now, say },
  })
}

/** The key of a configured witness. */
export function witnessKey(text: string): NoteKey {
  try {
    return readWitnessKey(text)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new BadConfiguration(`vault.witnesses: ${error.message}`, "take the line that assay witness prints")
  }
}
