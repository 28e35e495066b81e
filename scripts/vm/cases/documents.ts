/**
 * Do the pages about an installation tell the truth, from its package to its purge? Their blocks are run in order, as root, on a
 * machine that has never seen the package, or has forgotten it; what is there afterwards is what was there before.
 */
import { type Case, must } from "../case.ts"
import { newerVersion } from "../install.ts"
import type { Machine } from "../machine.ts"
import { type Block, blocks } from "../pages.ts"
import type { Site } from "../site.ts"
import { difference } from "../traces.ts"

/** Where the blocks are run: the package lies there, and for an upgrade another. */
const folder = "/root/documents"

const documents: Case = {
  name: "documents",
  says: "each command of install, operating, upgrading and uninstalling, and a purge that leaves nothing",
  once: true,
  leaves: "bare",
  run: async site => {
    const { machine } = site
    const all = blocks()
    const orphans = all.filter(({ runner }) => runner === "nobody")
    must(orphans.length === 0, `nobody runs ${orphans.map(place).join(", ")}: mark them`)
    await purged(machine)
    await machine.powerOff() // the log that explains PCR 23 is gone
    await machine.start()
    await machine.run(`rm -rf ${folder}; mkdir ${folder}; mv /root/delivery/assay_* ${folder}`)
    const ran = all.filter(({ runner }) => runner === "installed")
    for (const block of ran) await runBlock(site, block)
    const left = await difference(machine)
    must(left === "", `not as before the installation:\n${left}`)
    const elsewhere = all.length - ran.length
    return `${ran.length} blocks here, ${elsewhere} on the host by other tests; nothing is left`
  },
}

const place = ({ page, line }: Block): string => `docs/${page}:${line}`

async function runBlock({ machine }: Site, block: Block): Promise<void> {
  const prepared = preparations.find(({ before }) => block.text.includes(before))
  if (prepared) await machine.run(`set -eu; cd ${folder}\n${prepared.script}`)
  await machine.run(`set -eu; cd ${folder}\n${named(block.text)}`, { seconds: 900 }).catch((error: unknown) => {
    throw new Error(`${place(block)}: ${error instanceof Error ? error.message : String(error)}`)
  })
}

/** The words that stand for a name. */
const named = (text: string): string =>
  text.replaceAll(/\bMACHINE\b/g, "workstation").replaceAll(/_VERSION_/g, `_${newerVersion}_`)

/** What a page takes for granted: before an upgrade there is a newer package, and here a reference that its code differs from. */
const preparations = [
  {
    before: "until assay challenge > verdict; do test $? = 3",
    script: "assay reference record --by 'Ada Lovelace'; rm assay_*; mv /root/delivery/newer/assay_* .",
  },
] as const

/** The package is gone, with everything that it made. */
async function purged(machine: Machine): Promise<void> {
  await machine.run("DEBIAN_FRONTEND=noninteractive apt-get purge -y assay")
  const left = await difference(machine)
  must(left === "", `a purge leaves something:\n${left}`)
}

export const documentCases: readonly Case[] = [documents]
