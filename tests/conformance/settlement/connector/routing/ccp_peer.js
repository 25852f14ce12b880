// The deployed CCP, asked over standard input: one JSON request a line, one JSON answer a line.
const readline = require('readline')
const ccp = require('ilp-protocol-ccp')
const { deserializeIlpPrepare } = require('ilp-packet')
const CcpReceiver = require('ilp-connector/dist/routing/ccp-receiver').default
const CcpSender = require('ilp-connector/dist/routing/ccp-sender').default

const hex = (bytes) => bytes.toString('hex')
const bytes = (text) => Buffer.from(text, 'hex')
const plugin = { isConnected: () => true }
const receiver = new CcpReceiver({ plugin, accountId: 'us' })

const route = (r) => ({ ...r, auth: bytes(r.auth), props: r.props.map((p) => ({ ...p, value: p.isUtf8 ? p.value : bytes(p.value) })) })
const plain = (r) => ({ ...r, auth: hex(r.auth), props: r.props.map((p) => ({ ...p, value: p.isUtf8 ? p.value : hex(p.value) })) })

const operations = {
  decodeControl: ({ packet }) => ccp.deserializeCcpRouteControlRequest(bytes(packet)),
  decodeUpdate: ({ packet }) => {
    const update = ccp.deserializeCcpRouteUpdateRequest(bytes(packet))
    return { ...update, newRoutes: update.newRoutes.map(plain) }
  },
  decodeResponse: ({ packet }) => ccp.deserializeCcpResponse(bytes(packet)) || true,
  encodeControl: ({ control }) => hex(ccp.serializeCcpRouteControlRequest(control)),
  encodeUpdate: ({ update }) =>
    hex(ccp.serializeCcpRouteUpdateRequest({ ...update, newRoutes: update.newRoutes.map(route) })),
  receive: ({ packet }) => {
    receiver.handleRouteUpdate(ccp.deserializeCcpRouteUpdateRequest(bytes(packet)))
    const held = receiver.getPrefixes().map((prefix) => [prefix, receiver.getPrefix(prefix).path])
    return { epoch: receiver.getEpoch(), routes: Object.fromEntries(held) }
  },
  request: async () => {
    const sent = new Promise((resolve) => {
      plugin.sendData = async (packet) => { resolve(hex(packet)); return ccp.serializeCcpResponse() }
    })
    receiver.sendRouteControl()
    return sent
  },
  send: async ({ control, log }) => {
    const table = {
      routingTableId: '00000000-0000-0000-0000-0000000000aa',
      currentEpoch: log.length,
      log: log.map((u) => ({ ...u, route: u.route && route({ ...u.route, props: [] }) }))
    }
    const sent = new Promise((resolve) => {
      const sending = { isConnected: () => true, sendData: async (packet) => { resolve(hex(packet)); return ccp.serializeCcpResponse() } }
      const sender = new CcpSender({
        plugin: sending,
        accountId: 'us',
        forwardingRoutingTable: table,
        getOwnAddress: () => 'test.js',
        getAccountRelation: () => 'peer',
        routeExpiry: 45000,
        routeBroadcastInterval: 30000
      })
      sender.handleRouteControl(ccp.deserializeCcpRouteControlRequest(bytes(control)))
      sent_sender = sender
    })
    const packet = await sent
    sent_sender.stop()
    return packet
  }
}
let sent_sender

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const request = JSON.parse(line)
  try {
    process.stdout.write(JSON.stringify({ result: await operations[request.operation](request) }) + '\n')
  } catch (error) {
    process.stdout.write(JSON.stringify({ error: String(error) }) + '\n')
  }
})
