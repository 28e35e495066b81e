/** Which image does Docker run a container from? It keeps the digest where root alone can read it, beside what nobody else should. */
import { z } from "zod"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"

const configuration = z.object({ Image: z.string().regex(/^sha256:[0-9a-f]{64}$/) })

/** The digest of the image of the container with this number of 64 hexadecimal digits, as `sha256:` and hex. */
export async function imageOf(host: Host, container: string): Promise<Found<string>> {
  const read = await host.readBytes(`/var/lib/docker/containers/${container}/config.v2.json`, 1 << 20)
  if (read.state !== "present") return host.orReader(read, reader => reader.image(container))
  const parsed = configuration.safeParse(jsonIn(read.value))
  return parsed.success
    ? { state: "present", value: parsed.data.Image }
    : { state: "unreadable", problem: "config.v2.json names no image" }
}

function jsonIn(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"))
  } catch {
    return undefined
  }
}
