package exporter

import "context"

// Consumers stores and returns what receipts say, as status does.
func Consumers(ctx context.Context, databaseURL, stream string, batches map[string]int64) ([]Known, error) {
	conn, err := connectTo(ctx, databaseURL, "status")
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return noteConsumers(ctx, conn, stream, batches)
}
