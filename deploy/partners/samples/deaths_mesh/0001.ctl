<?xml version="1.0" encoding="UTF-8"?>
<DTSControl>
  <Version>1.0</Version>
  <AddressType>DTS</AddressType>
  <MessageType>Data</MessageType>
  <From_DTS>X26OT001</From_DTS>
  <To_DTS>X26HC001</To_DTS>
  <WorkflowId>DEATHS</WorkflowId>
  <Encrypted>N</Encrypted>
  <IsCompressed>N</IsCompressed>
  <StatusRecord>
    <DateTime>20260302063000</DateTime>
    <Event>TRANSFER</Event>
    <Status>SUCCESS</Status>
    <StatusCode>00</StatusCode>
    <Description>Transferred to recipient mailbox</Description>
  </StatusRecord>
</DTSControl>
