import rkeras.tf as tf
model = tf.keras.Sequential()
model.add(tf.keras.layers.Dense(64, activation='relu'))
# 此时模型还没有输入形状
try:
    model.summary()
except ValueError as e:
    print(f"错误: {e}")
# 添加输入或构建模型
model.build(input_shape=(None, 784))
model.summary()
# 或者通过调用自动构建
x = tf.random.normal([1, 784])
y = model(x)
print(f"输出形状: {y.shape}")
