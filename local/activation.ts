/**
 * Where does a process that serves a socket get it from? From systemd, which has opened it before (sd_listen_fds(3)), or it
 * opens one itself. What is served on it: call.ts.
 */
import { createServer, type Server, type Socket } from "node:net"
import { listenLocal } from "./call.ts"

/** Whether one socket was handed to this process, as descriptor 3. */
export const isActivated = (): boolean =>
  process.env["LISTEN_FDS"] === "1" && process.env["LISTEN_PID"] === String(process.pid)

/** The server on the socket that systemd opened, else on a new one at `path` with `mode`. */
export async function listenActivated(path: string, mode: number): Promise<Server> {
  if (!isActivated()) return listenLocal(path, mode)
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen({ fd: 3 }, resolve))
  return server
}

/** Every connection that is open, so that each can be told before the end. */
export function connectionsOf(server: Server): ReadonlySet<Socket> {
  const open = new Set<Socket>()
  server.on("connection", socket => {
    open.add(socket)
    socket.on("close", () => open.delete(socket))
  })
  return open
}
