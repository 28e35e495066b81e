/** Does the verdict follow from how the machine was booted? Each case begins with a boot of its own. */
import { bad, type Case, good, must } from "../case.ts"
import type { Site } from "../site.ts"

/** Seconds in which a machine that is switched on must answer. */
const patience = 600

const rebooted: Case = {
  name: "reboot",
  says: "a new epoch, and no alarm; what was contraindicated is so no more",
  boots: true,
  leaves: "as it was",
  run: async site => {
    await site.machine.reboot()
    const verdict = await site.answer("quick", patience)
    good(verdict)
    return `overall ${verdict.tier}`
  },
}

/** GRUB's configuration, as anybody with root edits it. */
const editGrub = (expression: string): string => `set -e
mount /boot/efi
sed -i '${expression}' /boot/efi/EFI/debian/grub.cfg
umount /boot/efi
sync`

const commandLine: Case = {
  name: "command line changed",
  says: "one word more for the kernel",
  boots: true,
  leaves: "contraindicated",
  run: async site => {
    await site.machine.run(editGrub("s/panic=10/panic=10 mitigations=off/"))
    await site.machine.reboot()
    const verdict = await site.answer("quick", patience)
    await site.machine.run(editGrub("s/ mitigations=off//"))
    return bad(verdict, "boot.command-line", /mitigations=off/).id
  },
}

const secureBootOff: Case = {
  name: "Secure Boot off",
  says: "the same firmware without keys",
  boots: true,
  leaves: "contraindicated",
  run: async site => {
    if (site.machine.running) await site.machine.powerOff()
    await site.machine.start("off")
    return bad(await site.answer("quick", patience), "boot.secure-boot", /^/).id
  },
}

const powerCuts: Case = {
  name: "two power cuts",
  says: "no orderly shutdown, twice: the TPM is not locked out, nothing is damaged",
  boots: true,
  leaves: "as it was",
  run: async site => {
    const { machine } = site
    const gaps = async (): Promise<number> => (await site.status()).gaps.length
    const before = await gaps() // what was refused in a case before this one is missing
    for (const _ of ["once", "twice"]) {
      await machine.cut()
      await started(site)
      must((await gaps()) === before, "the power took evidence with it")
    }
    const properties = await machine.says("tpm2_getcap properties-variable")
    must(/inLockout: +0/.test(properties), `the TPM is locked out:\n${properties}`)
    return `lockout counter ${/LOCKOUT_COUNTER: +(\S+)/.exec(properties)?.[1]}`
  },
}

/** Switches on, and asks: what a machine that was not altered says after any end. */
async function started(site: Site): Promise<void> {
  await site.machine.start()
  good(await site.answer("quick", patience))
}

const tpmKilled: Case = {
  name: "TPM killed",
  says: "nothing is said any more, and that is seen; then the power fails",
  leaves: "off",
  run: async site => {
    const { machine } = site
    good(await site.answer("quick", patience))
    await machine.killTpm()
    const verdict = await site.verdict()
    must(verdict.tier === "unanswered", `a machine without a TPM answered: ${verdict.tier}`)
    const said = await machine.says("journalctl -u assay-broker -u assay-agent -n 30 -o cat --no-pager")
    must(/TPM/.test(said), `nothing was said of the TPM:\n${said}`)
    await machine.cut()
    return verdict.why.slice(0, 80)
  },
}

export const rebootCases: readonly Case[] = [rebooted]
/** In this order: the first power cut takes back what was contraindicated before. */
export const bootedCases: readonly Case[] = [commandLine, secureBootOff, powerCuts, tpmKilled]
