/**
 * How does a bare machine become an attester? As docs/install.md says: the package, one invitation, and the agent runs. What is
 * special here is told to systemd and to the agent's configuration: a software TPM, and reports more often than once an hour.
 */
import { execFileSync } from "node:child_process"
import { basename, dirname, join } from "node:path"
import { modelsUuid } from "./machine.ts"
import { person, type Site } from "./site.ts"
import { noteBefore } from "./traces.ts"

/** Of the package to which the pages' upgrade leads. */
export const newerVersion = "99.0.0"

/** The files, folders whole, go as a disk that holds a tar archive. */
export function deliver(folder: string, files: readonly string[]): void {
  const args = files.flatMap(file => ["-C", dirname(file), basename(file)])
  execFileSync("tar", ["--blocking-factor=2048", "-cf", join(folder, "delivery.raw"), ...args])
}

const configuration = `
reports = { every = 10 }
hash = { recheck = 60 }

[tpm]
broker = "/run/assay-broker/broker.sock"

[[weights]]
name = "plain"
path = "/srv/models/plain"

[[weights]]
name = "protected"
path = "/srv/models/protected"
`

/** As the policy that comes with the package says, and for the models' file system the kernel's own digests. */
const imaPolicy = `
sed "s/ASSAY_CODE/$(id -u assay-code)/" /usr/share/assay/ima-policy >> /etc/ima/ima-policy
echo 'measure func=FILE_CHECK mask=MAY_READ fsuuid=${modelsUuid} digest_type=verity template=ima-ngv2' >> /etc/ima/ima-policy`

/** The broker takes a software TPM only when it is told to, before the package starts it; and an emulator is slow. */
const softwareTpm = `set -e
mkdir -p /etc/systemd/system/assay-broker.service.d
dpkg-deb --fsys-tarfile /root/delivery/assay_*.deb | tar -xO ./usr/lib/systemd/system/assay-broker.service |
  sed -n 's/^ExecStart=\\(.*\\)/[Service]\\nExecStart=\\nExecStart=\\1 --software-tpm/p' > /etc/systemd/system/assay-broker.service.d/vm.conf
grep -q software-tpm /etc/systemd/system/assay-broker.service.d/vm.conf
mkdir -p /etc/systemd/system/assay-agent.service.d
printf '[Service]\\nTimeoutStartSec=15min\\n' > /etc/systemd/system/assay-agent.service.d/patience.conf`

/** Installs, joins and waits until the agent runs. */
export async function install(site: Site): Promise<void> {
  const { machine } = site
  await machine.run("mkdir -p /root/delivery && tar -C /root/delivery -xf /dev/disk/by-id/virtio-delivery")
  await noteBefore(machine)
  await machine.run(softwareTpm)
  const install = "cd /root/delivery && DEBIAN_FRONTEND=noninteractive apt-get install -y ./assay_*.deb"
  await machine.run(install, { seconds: 900 })
  await machine.run(`cat > /etc/assay/agent.toml <<'END'${configuration}END`)
  const admit = ["roots", "add", "--by", person, "--reason", "our own TPMs"]
  for (const name of ["swtpm-localca-rootca-cert.pem", "issuercert.pem"])
    await site.assay([...admit, join(site.folder, "authority", name)])
  const { out } = await site.assay(["invite", "--by", person])
  await machine.run(`assay join --config /etc/assay/agent.toml <<'END'\n${out.trim()}\nEND`)
  await machine.run(imaPolicy)
  await machine.run("systemctl restart assay-agent", { seconds: 900 })
}
