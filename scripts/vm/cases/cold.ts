/** Does a bare machine become an attester that is judged by its whole boot? Installed, joined, booted, asked. */
import { type Case, good, must, notFound } from "../case.ts"
import { install } from "../install.ts"
import { person, type Site } from "../site.ts"

const installed: Case = {
  name: "install",
  says: "the package, one invitation, and the agent answers",
  once: true,
  leaves: "as it was",
  run: async site => {
    await install(site)
    const verdict = await site.answer()
    good(verdict)
    const failed = await site.machine.says("systemctl --failed --no-legend --plain")
    must(failed === "", `units failed: ${failed}`)
    return `overall ${verdict.tier}`
  },
}

const cold: Case = {
  name: "cold boot",
  says: "ready once the first measurement is in the TPM; firmware log, IMA and our log replay together",
  leaves: "as it was",
  run: async site => {
    await noteReadiness(site)
    await site.machine.reboot()
    const first = await site.answer("quick", 600)
    const before = await site.machine.says(`cat ${atReadiness}`)
    const now = await site.machine.says(readPcr)
    must(/^[0-9A-F]{64}$/.test(before), `PCR 23 could not be read at readiness: ${before}`)
    must(before === now, `PCR 23 went on after readiness: ${before}, then ${now}`)
    notFound(first, /^(?:firmware|userspace|ima)\./)
    const secure = await site.machine.says("od -An -tx1 -j4 /sys/firmware/efi/efivars/SecureBoot-*")
    must(secure.trim() === "01", `Secure Boot is ${secure}`)
    await site.assay(["reference", "record", "--by", person])
    const verdict = await site.answer()
    good(verdict)
    return `ready ${await readySeconds(site)} s after its start; overall ${verdict.tier}`
  },
}

/** What PCR 23 held when systemd was told that the agent is ready: ExecStartPost runs after that. */
const atReadiness = "/run/vm-pcr-23"
/** From the kernel: the service's devices are closed, for what runs after its start too. */
const readPcr = "cat /sys/class/tpm/tpm0/pcr-sha256/23"

const noteReadiness = (site: Site) =>
  site.machine.run(`mkdir -p /etc/systemd/system/assay-agent.service.d
cat > /etc/systemd/system/assay-agent.service.d/vm.conf <<'END'
[Service]
ExecStartPost=+/bin/sh -c '${readPcr} > ${atReadiness}'
END`)

/** From the start of the unit to its readiness, by the machine's own clock. */
async function readySeconds({ machine }: Site): Promise<string> {
  const show = (what: string) => machine.says(`systemctl show --value -p ${what} assay-agent`)
  const [begun, ready] = [await show("InactiveExitTimestampMonotonic"), await show("ActiveEnterTimestampMonotonic")]
  return ((Number(ready) - Number(begun)) / 1e6).toFixed(0)
}

export const coldCases: readonly Case[] = [installed, cold]
