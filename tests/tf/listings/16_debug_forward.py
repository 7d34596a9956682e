import rkeras.tf as tf
model = tf.keras.Sequential([
    tf.keras.layers.Dense(64, activation='relu', input_shape=(784,)),
    tf.keras.layers.Dense(10, activation='softmax')
])
# 使用调试模式
tf.config.run_functions_eagerly(True)
# 逐层调试
x = tf.random.normal([1, 784])
for layer in model.layers:
    x = layer(x)
    print(f"{layer.name}: shape={x.shape}, dtype={x.dtype}")
    if tf.reduce_any(tf.math.is_nan(x)):
        print(f" 警告: {layer.name} 输出包含 NaN!")
