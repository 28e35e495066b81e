/**
 * What can be said of a boot? Only of PCRs that were replayed to their quoted values, and with names that tell what is proven
 * from what is claimed. Whether it is acceptable is for `appraise/`, against what was recorded.
 */
import {
  bootOrderOf,
  type BootOrder,
  crtmVersionOf,
  exitedBootServices,
  type FirmwareBlob,
  firmwareBlobsOf,
  type Image,
  imagesOf,
  type PartitionTable,
  partitionTableOf,
} from "./boot.ts"
import {
  type Grub,
  grubOf,
  type Loaded,
  type LoadedFile,
  loadedOf,
  mokListsOf,
  type Section,
  sectionsOf,
} from "./loader.ts"
import type { MeasuredEvent } from "./content.ts"
import type { FirmwareLog } from "./log.ts"
import { provenEvents } from "./proven.ts"
import { type SecureBoot, secureBootOf } from "./secure-boot.ts"

export type FirmwareFacts = {
  readonly format: FirmwareLog["format"]
  readonly events: number
  /** the PCRs whose events are proven, ascending; the facts below come from no other */
  readonly proven: readonly number[]
  /**
   * PCR and digest of every proven event, in the log's order. Who alters a log can keep an event from being explained below, and
   * whoever may use the TPM can extend and explain more; this list is complete. Comparing it leaves nothing out.
   */
  readonly digests: readonly (readonly [pcr: number, digest: string])[]
  readonly crtmVersion: string | undefined
  readonly blobs: readonly FirmwareBlob[]
  readonly secureBoot: SecureBoot
  readonly images: readonly Image[]
  readonly boot: BootOrder
  readonly partitionTable: PartitionTable | undefined
  readonly exitedBootServices: boolean
  readonly grub: Grub
  readonly mokLists: readonly LoadedFile[]
  readonly sections: readonly Section[]
  readonly loaded: readonly Loaded[]
}

/** The facts of those of its `measured` events that extend `proven` PCRs. */
export function firmwareFacts(
  log: FirmwareLog,
  measured: readonly MeasuredEvent[],
  proven: ReadonlySet<number>,
): FirmwareFacts {
  const events = provenEvents(measured, proven)
  return {
    format: log.format,
    events: log.events.length,
    proven: [...proven].toSorted((a, b) => a - b),
    digests: events.map(({ pcr, digest }) => [pcr, digest]),
    crtmVersion: crtmVersionOf(events),
    blobs: firmwareBlobsOf(events),
    secureBoot: secureBootOf(events),
    images: imagesOf(events),
    boot: bootOrderOf(events),
    partitionTable: partitionTableOf(events),
    exitedBootServices: exitedBootServices(events),
    grub: grubOf(events),
    mokLists: mokListsOf(events),
    sections: sectionsOf(events),
    loaded: loadedOf(events),
  }
}
