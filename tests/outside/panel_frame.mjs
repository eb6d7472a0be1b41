// The browser's half of a host for panels, made of the official library: one frame, one answer of a
// tool. What the panel asks of the server goes to the other half, which holds the connection.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

const CAN = { serverTools: {}, openLinks: {}, updateModelContext: { text: {} } };

window.mount = async ({ html, result, context, called = true }) => {
  if (window.bridge) await window.bridge.teardownResource({}).catch(() => undefined);
  document.querySelector("iframe")?.remove();
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.style.cssText = "display:block;width:100%;border:0;height:40px";
  document.body.append(frame);
  const bridge = new AppBridge(null, { name: "test-host", version: "1" }, CAN, { hostContext: context });
  bridge.oncalltool = (params) => window.callServer(params);
  bridge.onopenlink = async ({ url }) => {
    await window.opened(url);
    return {};
  };
  bridge.onupdatemodelcontext = async (params) => {
    await window.toldModel(params);
    return {};
  };
  bridge.onsizechange = ({ height }) => {
    frame.style.height = `${height}px`;
  };
  const ready = new Promise((resolve) => {
    bridge.oninitialized = resolve;
  });
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.srcdoc = html;
  await ready;
  window.bridge = bridge;
  await bridge.sendToolInput({ arguments: {} });
  if (called) await bridge.sendToolResult(result);
  else await bridge.sendToolCancelled({ reason: "the user stopped it" });
};

window.changeContext = (context) => window.bridge.setHostContext(context);
