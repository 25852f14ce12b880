// ilp-connector in a process that a test drives, with an ilp-protocol-stream endpoint as its child: JSON lines.
//
//   node connector_node.js '{"config": {...}, "endpoint": {"port": n, "token": "..."}}'
//
// Out: {"ready": "<ILP address of the connector>"} once it runs
// In:  {"do": "listen"}
// Out: {"listening": {"address": "...", "secret": hex, "own": [code, scale]}}, then {"closed": "<total>"} for each connection
// In:  {"do": "pay", "address": "...", "secret": hex, "amount": "..."}
// Out: {"paid": {"sent": "...", "delivered": "...", "asset": [code, scale]}} or {"failed": "..."}
// In:  {"do": "routes"}   Out: {"routes": {"<prefix>": "<account>", ...}}
'use strict'
const readline = require('readline')
const { createApp } = require('ilp-connector')
const BtpPlugin = require('ilp-plugin-btp')
const stream = require('ilp-protocol-stream')
const ildcp = require('ilp-protocol-ildcp')
const fetch = require('node-fetch')

const { config, endpoint } = JSON.parse(process.argv[2])
const tell = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const raised = { refillCount: 10000000, refillPeriod: 1000 } // its default is 10,000 packets a minute
const child = {
  relation: 'child',
  plugin: 'ilp-plugin-btp',
  assetCode: 'USD',
  assetScale: 9,
  balance: { maximum: 'Infinity' },
  rateLimit: raised,
  options: { listener: { port: endpoint.port, secret: endpoint.token } }
}
const accounts = { endpoint: child }
for (const [name, account] of Object.entries(config.accounts)) {
  accounts[name] = { rateLimit: raised, balance: { maximum: 'Infinity' }, ...account }
}
const app = createApp({
  env: 'test',
  backend: 'one-to-one',
  spread: 0,
  store: 'memory',
  routeBroadcastInterval: 200,
  initialConnectTimeout: 2000, // a plugin that listens is not connected before somebody comes
  ...config,
  accounts
})
const plugin = new BtpPlugin({ server: `btp+ws://:${endpoint.token}@127.0.0.1:${endpoint.port}`, reconnectInterval: 20 })
class Kept { // a STREAM client ends its plugin with itself: this one stays connected
  async connect () {}
  async disconnect () {}
  isConnected () { return plugin.isConnected() }
  sendData (data) { return plugin.sendData(data) }
  registerDataHandler (handler) { plugin.registerDataHandler(handler) }
  deregisterDataHandler () { plugin.deregisterDataHandler() }
}
Kept.version = 2
const kept = new Kept()

const listen = async () => {
  plugin.deregisterDataHandler()
  const server = await stream.createServer({ plugin: kept })
  server.on('connection', (connection) => {
    connection.on('stream', (flow) => flow.setReceiveMax('1000000000000000000'))
    connection.on('close', () => tell({ closed: connection.totalReceived }))
    connection.on('error', () => {})
  })
  const { destinationAccount, sharedSecret } = server.generateAddressAndSecret()
  const own = [server.assetCode, server.assetScale]
  tell({ listening: { address: destinationAccount, secret: sharedSecret.toString('hex'), own } })
}

const pay = async (asked) => {
  plugin.deregisterDataHandler()
  const connection = await stream.createConnection({
    plugin: kept, destinationAccount: asked.address, sharedSecret: Buffer.from(asked.secret, 'hex')
  })
  const flow = connection.createStream()
  await flow.sendTotal(asked.amount, { timeout: 20000 })
  const asset = [connection.destinationAssetCode, connection.destinationAssetScale]
  const paid = { sent: connection.totalSent, delivered: connection.totalDelivered, asset }
  await connection.end()
  tell({ paid })
}

const routes = async () => {
  const { localRoutingTable } = await (await fetch(`http://127.0.0.1:${config.adminApiPort}/routing`)).json()
  tell({ routes: Object.fromEntries(Object.entries(localRoutingTable).map(([prefix, route]) => [prefix, route.nextHop])) })
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line)
  const run = { listen, pay, routes }[asked.do]
  run(asked).catch((error) => tell({ failed: error.message }))
}).on('close', () => process.exit(0))

const start = async () => {
  const running = app.listen()
  await plugin.connect()
  await running
  tell({ ready: (await ildcp.fetch((data) => plugin.sendData(data))).clientAddress })
}
start().catch((error) => tell({ failed: error.message }))
