export { default as decodeQR } from "qr/decode.js";
